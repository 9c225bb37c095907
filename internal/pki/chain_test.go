package pki_test

import (
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// certify issues a certificate; without an issuer it is a root.
func certify(t *testing.T, profile pki.Profile, subject string, key *sm2.PrivateKey, issuer *smx509.Certificate, issuerKey *sm2.PrivateKey) *smx509.Certificate {
	t.Helper()
	token, err := issuance.Prepare(issuance.Order{
		Profile: profile, Subject: mustName(t, subject), PublicKey: &key.PublicKey, Serial: "01", Issuer: issuer, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	der, err := issuance.Issue(issuerKey, token)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestVerifyChain(t *testing.T) {
	const day = 24 * time.Hour
	rootKey, midKey, subKey, leafKey := newKey(t), newKey(t), newKey(t), newKey(t)
	subscriber := pki.Profile{Name: "s", KeyUsage: pki.KeyUsagesSigning, Validity: day}
	root := certify(t, pki.CAProfile(2, 10*day, 0), "CN=root,C=CN", rootKey, nil, rootKey)
	mid := certify(t, pki.CAProfile(1, 9*day, 0), "CN=mid,C=CN", midKey, root, rootKey)
	sub := certify(t, pki.CAProfile(0, 8*day, 0), "CN=sub,C=CN", subKey, mid, midKey)
	leaf := certify(t, subscriber, "CN=leaf,C=CN", leafKey, sub, subKey)
	otherRoot := certify(t, pki.CAProfile(2, 10*day, 0), "CN=root,C=CN", leafKey, nil, leafKey)
	// What Terrace does not issue is made by changing the parsed fields.
	with := func(c *smx509.Certificate, change func(*smx509.Certificate)) *smx509.Certificate {
		copied := *c
		change(&copied)
		return &copied
	}
	type certs = []*smx509.Certificate
	tests := map[string]struct {
		cert  *smx509.Certificate
		chain certs
		at    time.Time
		want  string
	}{
		"whole":           {leaf, certs{sub, mid, root}, now, ""},
		"a CA":            {sub, certs{mid, root}, now, ""},
		"a root":          {root, nil, now, ""},
		"last second":     {leaf, certs{sub, mid, root}, leaf.NotAfter, ""},
		"nil":             {nil, certs{root}, now, "no certificate"},
		"nil in chain":    {leaf, certs{nil}, now, "its issuer is nil"},
		"no root":         {leaf, certs{sub, mid}, now, "certificate 3 of 3 (CN=mid,C=CN): is the last one but not self-signed"},
		"hole":            {leaf, certs{mid, root}, now, "certificate 1 of 3 (CN=leaf,C=CN): its issuer is not the subject"},
		"wrong order":     {leaf, certs{root, mid, sub}, now, "order the chain issuer first"},
		"another root":    {leaf, certs{sub, mid, otherRoot}, now, "certificate 3 of 4 (CN=mid,C=CN): its authority key identifier"},
		"leaf expired":    {leaf, certs{sub, mid, root}, leaf.NotAfter.Add(time.Second), "certificate 1 of 4 (CN=leaf,C=CN): expired"},
		"CA expired":      {root, nil, root.NotAfter.Add(time.Second), "expired"},
		"too early":       {leaf, certs{sub, mid, root}, now.Add(-time.Hour), "is not valid before"},
		"key of another":  {leaf, certs{with(sub, func(c *smx509.Certificate) { c.RawSubjectPublicKeyInfo = root.RawSubjectPublicKeyInfo }), mid, root}, now, "certificate 1 of 4 (CN=leaf,C=CN): its signature does not verify"},
		"signature":       {with(leaf, func(c *smx509.Certificate) { c.Signature = mid.Signature }), certs{sub, mid, root}, now, "does not verify under the key of CN=sub,C=CN"},
		"not a CA":        {leaf, certs{with(sub, func(c *smx509.Certificate) { c.IsCA = false }), mid, root}, now, "certificate 2 of 4 (CN=sub,C=CN): is not a CA"},
		"no keyCertSign":  {leaf, certs{with(sub, func(c *smx509.Certificate) { c.KeyUsage = smx509.KeyUsageCRLSign }), mid, root}, now, "no keyCertSign"},
		"path length":     {leaf, certs{sub, with(mid, func(c *smx509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }), root}, now, "certificate 3 of 4 (CN=mid,C=CN): allows 0 CA certificates below it, the chain has 1"},
		"CA as last":      {sub, certs{with(mid, func(c *smx509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }), root}, now, "allows 0"},
		"leaf alone":      {leaf, nil, now, "not self-signed"},
		"too many":        {leaf, make(certs, pki.MaxChain+1), now, "at most"},
		"other algorithm": {with(leaf, func(c *smx509.Certificate) { c.SignatureAlgorithm = smx509.ECDSAWithSHA256 }), certs{sub, mid, root}, now, "want SM2 with SM3"},
		"unknown critical": {with(leaf, func(c *smx509.Certificate) {
			c.UnhandledCriticalExtensions = append(c.UnhandledCriticalExtensions, []int{1, 2, 3})
		}), certs{sub, mid, root}, now, "unknown critical extension 1.2.3"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			err := pki.VerifyChain(tt.cert, tt.chain, tt.at)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestCertificatesPEM(t *testing.T) {
	key := newKey(t)
	root := certify(t, pki.CAProfile(0, time.Hour, 0), "CN=root", key, nil, key)
	if !pki.IsSM2Certificate(root) || pki.IsSM2Certificate(nil) {
		t.Error("IsSM2Certificate is wrong")
	}
	one, two := pki.EncodePEM(pki.PEMCertificate, root.Raw), pki.EncodePEM(pki.PEMCertificate, root.Raw, root.Raw)
	if c, err := pki.ParseCertificatePEM(one); err != nil || !c.Equal(root) {
		t.Errorf("one: %v", err)
	}
	if cs, err := pki.ParseCertificatesPEM(two, 2); err != nil || len(cs) != 2 {
		t.Errorf("two: %d, %v", len(cs), err)
	}
	for desc, in := range map[string][]byte{
		"two": two, "none": nil, "trailing byte": pki.EncodePEM(pki.PEMCertificate, append(root.Raw[:len(root.Raw):len(root.Raw)], 0)),
		"another type": pki.EncodePEM("PRIVATE KEY", root.Raw), "text": append(one, "x"...),
	} {
		if _, err := pki.ParseCertificatePEM(in); err == nil {
			t.Errorf("%s: was read", desc)
		}
	}
}
