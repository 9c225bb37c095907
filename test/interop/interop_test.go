package interop

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/crl"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
)

// signer is a key in memory.
type signer struct{ *sm2.PrivateKey }

func newSigner(t *testing.T) signer {
	t.Helper()
	k, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{k}
}

// entity is a key with its certificate.
type entity struct {
	signer
	cert *smx509.Certificate
}

func (e entity) pem() []byte { return pki.EncodePEM("CERTIFICATE", e.cert.Raw) }

func issue(t *testing.T, issuer *entity, profile pki.Profile, subject string) entity {
	t.Helper()
	e := entity{signer: newSigner(t)}
	name, err := pki.ParseName(subject)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := pki.NewSerial(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := issuance.Order{Profile: profile, Subject: name, PublicKey: &e.PublicKey, Serial: serial, Now: time.Now()}
	key := e.signer
	if issuer != nil {
		o.Issuer, key = issuer.cert, issuer.signer
	}
	token, err := issuance.Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	der, err := issuance.Issue(key, token)
	if err != nil {
		t.Fatal(err)
	}
	if e.cert, err = smx509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return e
}

func list(t *testing.T, issuer entity, revoked ...entity) []byte {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	tmpl := crl.Template{Issuer: issuer.cert, Number: now.UnixNano(), ThisUpdate: now, NextUpdate: now.Add(time.Hour)}
	for _, r := range revoked {
		tmpl.Entries = append(tmpl.Entries, crl.Entry{Serial: pki.SerialFromInt(r.cert.SerialNumber), At: now, Reason: pki.ReasonKeyCompromise})
	}
	der, err := crl.Sign(issuer.signer, tmpl)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func hierarchy(t *testing.T) (root, ca, leaf, revoked entity) {
	root = issue(t, nil, pki.CAProfile(1, 72*time.Hour, time.Minute), "CN=Root,C=CN")
	ca = issue(t, &root, pki.CAProfile(0, 48*time.Hour, time.Minute), "CN=CA,C=CN")
	profile := pki.Profile{Name: "leaf", KeyUsage: pki.KeyUsagesSigning, Validity: time.Hour, Backdate: time.Minute}
	return root, ca, issue(t, &ca, profile, "CN=Leaf,C=CN"), issue(t, &ca, profile, "CN=Revoked,C=CN")
}

func TestVerifiersAcceptTheGoodAndRefuseTheBad(t *testing.T) {
	root, ca, leaf, revoked := hierarchy(t)
	other := issue(t, nil, pki.CAProfile(1, 72*time.Hour, time.Minute), "CN=CA,C=CN")
	crls := [][]byte{list(t, ca, revoked), list(t, root)}
	above := [][]byte{ca.pem(), root.pem()}
	tampered := append([]byte(nil), crls[0]...)
	tampered[len(tampered)-3] ^= 1
	for name, c := range map[string]struct {
		err  error
		want string // "": accepted
	}{
		"OpenSSL chain":                {VerifyChain(root.pem(), ca.pem(), leaf.pem()), ""},
		"OpenSSL chain, wrong issuer":  {VerifyChain(root.pem(), other.pem()), "verif"},
		"OpenSSL CRL":                  {VerifyCRL(ca.pem(), crls[0]), ""},
		"OpenSSL CRL, wrong issuer":    {VerifyCRL(root.pem(), crls[0]), "dgst"},
		"OpenSSL CRL, tampered":        {VerifyCRL(ca.pem(), tampered), "openssl"},
		"Bouncy path":                  {VerifyPath(leaf.pem(), above, crls), ""},
		"Bouncy path, revoked":         {VerifyPath(revoked.pem(), above, crls), "revo"},
		"Bouncy path, no CRL":          {VerifyPath(leaf.pem(), above, crls[1:]), "CRL"},
		"Bouncy path, tampered CRL":    {VerifyPath(leaf.pem(), above, [][]byte{tampered, crls[1]}), "CRL"},
		"Bouncy path, foreign issuers": {VerifyPath(leaf.pem(), [][]byte{other.pem(), root.pem()}, crls), "BouncyCastle"},
	} {
		switch {
		case c.want == "" && c.err != nil:
			t.Errorf("%s: %v", name, c.err)
		case c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)):
			t.Errorf("%s: %v, want a refusal with %q", name, c.err, c.want)
		}
	}
	entries, err := BouncyCRL(ca.pem(), crls[0])
	if want := string(pki.SerialFromInt(revoked.cert.SerialNumber)); err != nil || !strings.Contains("0"+entries, want) || !strings.Contains(entries, "KEY_COMPROMISE") {
		t.Errorf("BouncyCastle reads entries %q, %v, want %s with KEY_COMPROMISE", entries, err, want)
	}
}
