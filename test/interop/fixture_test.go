package interop

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // subjectKeyIdentifier, RFC 5280 method 1
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
)

// entity is a key with its certificate, made by gmsm and by nothing of Terrace.
type entity struct {
	key  *sm2.PrivateKey
	cert *smx509.Certificate
}

func (e entity) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.cert.Raw})
}

func (e entity) keyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := smx509.MarshalPKCS8PrivateKey(e.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// issue makes a certificate for a new key; a nil issuer makes it self-signed.
func issue(t *testing.T, issuer *entity, name string, tmpl smx509.Certificate) entity {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		t.Fatal(err)
	}
	point := append([]byte{4}, append(key.X.FillBytes(make([]byte, 32)), key.Y.FillBytes(make([]byte, 32))...)...)
	ski := sha1.Sum(point) //nolint:gosec // as above
	tmpl.SerialNumber, tmpl.SubjectKeyId = serial, ski[:]
	tmpl.Subject = pkix.Name{Country: []string{"CN"}, Organization: []string{"Interop"}, CommonName: name}
	if tmpl.NotBefore.IsZero() {
		tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(48*time.Hour)
	}
	tmpl.BasicConstraintsValid = true
	parent, signer := &tmpl, key
	if issuer != nil {
		parent, signer = issuer.cert, issuer.key
	}
	der, err := smx509.CreateCertificate(rand.Reader, &tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := smx509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return entity{key, cert}
}

func caTemplate() smx509.Certificate {
	return smx509.Certificate{IsCA: true, MaxPathLen: -1, KeyUsage: smx509.KeyUsageCertSign | smx509.KeyUsageCRLSign}
}

func leafTemplate() smx509.Certificate {
	return smx509.Certificate{KeyUsage: smx509.KeyUsageDigitalSignature | smx509.KeyUsageContentCommitment}
}

var oidNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

func responderTemplate() smx509.Certificate {
	return smx509.Certificate{
		KeyUsage:        smx509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []smx509.ExtKeyUsage{smx509.ExtKeyUsageOCSPSigning},
		ExtraExtensions: []pkix.Extension{{Id: oidNoCheck, Value: asn1.NullBytes}},
	}
}

// tree is a small hierarchy: root, CA, a good leaf, a revoked one.
type tree struct{ root, ca, leaf, revoked entity }

func newTree(t *testing.T) tree {
	t.Helper()
	root := issue(t, nil, "Root", caTemplate())
	ca := issue(t, &root, "CA", caTemplate())
	return tree{root, ca, issue(t, &ca, "Leaf", leafTemplate()), issue(t, &ca, "Revoked", leafTemplate())}
}

// list makes a CRL of number 7 that is current from an hour ago for two hours,
// both shifted.
func list(t *testing.T, issuer entity, shift time.Duration, revoked ...entity) []byte {
	t.Helper()
	from := time.Now().Add(-time.Hour + shift)
	tmpl := smx509.RevocationList{Number: big.NewInt(7), ThisUpdate: from, NextUpdate: from.Add(2 * time.Hour)}
	for _, r := range revoked {
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries, smx509.RevocationListEntry{
			SerialNumber: r.cert.SerialNumber, RevocationTime: from, ReasonCode: 1,
		})
	}
	der, err := smx509.CreateRevocationList(rand.Reader, &tmpl, issuer.cert, issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// respond has openssl ocsp answer a request, signed by responder for ca. Known
// serials are valid, revoked ones as told; it answers unknown to others.
func respond(t *testing.T, ca, responder entity, request []byte, valid, revoked []entity, options ...string) []byte {
	t.Helper()
	var index string
	const stamp = "060102150405Z"
	for _, e := range valid {
		index += fmt.Sprintf("V\t%s\t\t%X\tunknown\t/CN=x\n", e.cert.NotAfter.UTC().Format(stamp), e.cert.SerialNumber)
	}
	for _, e := range revoked {
		index += fmt.Sprintf("R\t%s\t%s,keyCompromise\t%X\tunknown\t/CN=x\n", e.cert.NotAfter.UTC().Format(stamp), time.Now().UTC().Format(stamp), e.cert.SerialNumber)
	}
	w := workspace(t.TempDir())
	for name, content := range map[string][]byte{
		"index.txt": []byte(index), "ca.pem": ca.pem(), "r.pem": responder.pem(), "r.key": responder.keyPEM(t), "req.der": request,
	} {
		if err := w.write(name, content); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "r.pem", "-rkey", "r.key",
		"-rmd", "sm3", "-rsigopt", distID, "-reqin", "req.der", "-respout", "resp.der"}
	if len(options) == 0 {
		options = []string{"-ndays", "1"}
	}
	if _, err := w.openssl(append(args, options...)...); err != nil {
		t.Fatal(err)
	}
	der, err := os.ReadFile(filepath.Join(string(w), "resp.der"))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// flip changes one bit of the byte n from the end.
func flip(der []byte, n int) []byte {
	out := append([]byte(nil), der...)
	out[len(out)-n] ^= 1
	return out
}
