// Package ocsptest has throw-away CAs with OCSP responders, a source of
// statuses in memory, and OpenSSL as the second opinion. Tests alone import it.
package ocsptest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
)

// CA is a CA with a responder certificate of its own.
type CA struct {
	Key          ocsp.IssuerKey
	Certificate  *smx509.Certificate
	PrivateKey   *sm2.PrivateKey
	Responder    *smx509.Certificate
	ResponderKey *sm2.PrivateKey
	Issuer       *ocsp.Issuer
}

// NewCA makes a BusinessCA of this name whose responder certificate is valid
// for an hour before and a day after now.
func NewCA(t testing.TB, name string, now time.Time) *CA {
	t.Helper()
	c := &CA{Key: ocsp.IssuerKey{Authority: "BusinessCA/test/" + name, Generation: 1}, PrivateKey: newKey(t), ResponderKey: newKey(t)}
	subject := pkix.Name{Country: []string{"CN"}, Organization: []string{"测试"}, CommonName: name}
	template := &smx509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: smx509.KeyUsageCertSign | smx509.KeyUsageCRLSign,
		SignatureAlgorithm: smx509.SM2WithSM3,
	}
	c.Certificate = create(t, template, template, c.PrivateKey, c.PrivateKey)
	c.Responder = c.Issue(t, c.ResponderKey, now.Add(-time.Hour), now.Add(24*time.Hour), smx509.ExtKeyUsageOCSPSigning)
	var err error
	if c.Issuer, err = ocsp.NewIssuer(c.Certificate); err != nil {
		t.Fatal(err)
	}
	return c
}

// Issue makes a certificate for key.
func (c *CA) Issue(t testing.TB, key *sm2.PrivateKey, notBefore, notAfter time.Time, usages ...smx509.ExtKeyUsage) *smx509.Certificate {
	t.Helper()
	serial, err := pki.NewSerial(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	template := &smx509.Certificate{
		SerialNumber: serial.Int(), Subject: pkix.Name{Country: []string{"CN"}, CommonName: "end entity"},
		NotBefore: notBefore, NotAfter: notAfter, KeyUsage: smx509.KeyUsageDigitalSignature, ExtKeyUsage: usages,
		SignatureAlgorithm: smx509.SM2WithSM3,
	}
	return create(t, template, c.Certificate, key, c.PrivateKey)
}

// Authority is the CA as a responder takes it.
func (c *CA) Authority(t testing.TB) *ocsp.Authority {
	t.Helper()
	a, err := ocsp.NewAuthority(c.Key, c.Certificate, c.Responder, c.ResponderKey)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// CertID names a certificate of the CA.
func (c *CA) CertID(t testing.TB, h ocsp.Hash, serial pki.Serial) ocsp.CertID {
	t.Helper()
	id, err := c.Issuer.CertID(h, serial)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Request asks for serials of the CA.
func (c *CA) Request(t testing.TB, h ocsp.Hash, nonce []byte, serials ...pki.Serial) []byte {
	t.Helper()
	ids := make([]ocsp.CertID, len(serials))
	for i, s := range serials {
		ids[i] = c.CertID(t, h, s)
	}
	return Marshal(t, nonce, ids...)
}

// Marshal is ocsp.MarshalRequest.
func Marshal(t testing.TB, nonce []byte, ids ...ocsp.CertID) []byte {
	t.Helper()
	der, err := ocsp.MarshalRequest(nonce, ids...)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func create(t testing.TB, template, parent *smx509.Certificate, key, signer *sm2.PrivateKey) *smx509.Certificate {
	t.Helper()
	der, err := smx509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Source keeps statuses in memory.
type Source struct {
	// Changes hears of each Set; nil: the source is never settled.
	Changes *ocsp.Changes

	mu       sync.Mutex
	statuses map[ocsp.IssuerKey]map[pki.Serial]ocsp.Status
	err      error
	asOf     time.Time
}

var _ ocsp.Source = (*Source)(nil)

// Set makes s the status of a serial.
func (s *Source) Set(issuer ocsp.IssuerKey, serial pki.Serial, status ocsp.Status) {
	if s.Changes != nil {
		defer s.Changes.Begin(slices.Values([]pki.Serial{serial}))()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.statuses == nil {
		s.statuses = map[ocsp.IssuerKey]map[pki.Serial]ocsp.Status{}
	}
	if s.statuses[issuer] == nil {
		s.statuses[issuer] = map[pki.Serial]ocsp.Status{}
	}
	s.statuses[issuer][serial] = status
}

// Fail makes every later call fail with err, or succeed again with nil.
func (s *Source) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// SetAsOf makes the source a copy that was right at this time; zero: it is the
// record itself.
func (s *Source) SetAsOf(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asOf = t
}

// AsOf implements ocsp.Source.
func (s *Source) AsOf(now time.Time) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asOf.IsZero() {
		return now, nil
	}
	return s.asOf, nil
}

// Version implements ocsp.Source.
func (s *Source) Version(serial pki.Serial) (uint64, bool) {
	if s.Changes == nil {
		return 0, false
	}
	return s.Changes.Version(serial)
}

// Status implements ocsp.Source.
func (s *Source) Status(_ context.Context, issuer ocsp.IssuerKey, serial pki.Serial) (ocsp.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statuses[issuer][serial], s.err
}

// WritePEM writes a certificate to a new file and returns its name.
func WritePEM(t testing.TB, cert *smx509.Certificate) string {
	t.Helper()
	return writeFile(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

func writeFile(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// OpenSSL runs the command and returns what it prints. That it exits with 0 is
// little: look at the text.
func OpenSSL(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("openssl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// ResponseText has OpenSSL parse a response and returns its text.
func ResponseText(t testing.TB, response []byte) string {
	t.Helper()
	return OpenSSL(t, "ocsp", "-respin", writeFile(t, "r.der", response), "-noverify", "-resp_text")
}

var offset = regexp.MustCompile(`(?m)^ *(\d+):d=1 .*$`)

// VerifySignature has OpenSSL cut the BasicOCSPResponse out of a response and
// verify its signature: openssl ocsp itself cannot, for it takes an empty SM2 ID.
func VerifySignature(t testing.TB, response []byte, signer *smx509.Certificate) {
	t.Helper()
	der := writeFile(t, "r.der", response)
	dir := filepath.Dir(der)
	basic, tbs, sig, key := filepath.Join(dir, "basic"), filepath.Join(dir, "tbs"), filepath.Join(dir, "sig"), filepath.Join(dir, "key.pem")
	octets := regexp.MustCompile(`(?m)^ *(\d+):d=3 .*OCTET STRING`).FindStringSubmatch(OpenSSL(t, "asn1parse", "-inform", "DER", "-in", der))
	if octets == nil {
		t.Fatal("openssl asn1parse shows no OCTET STRING in the response")
	}
	OpenSSL(t, "asn1parse", "-inform", "DER", "-in", der, "-strparse", octets[1], "-noout", "-out", basic)
	parts := offset.FindAllStringSubmatch(OpenSSL(t, "asn1parse", "-inform", "DER", "-in", basic), -1)
	if len(parts) != 4 {
		t.Fatalf("BasicOCSPResponse has %d parts, want 4: %q", len(parts), parts)
	}
	OpenSSL(t, "asn1parse", "-inform", "DER", "-in", basic, "-strparse", parts[0][1], "-noout", "-out", tbs)
	OpenSSL(t, "asn1parse", "-inform", "DER", "-in", basic, "-strparse", parts[2][1], "-noout", "-out", sig)
	if err := os.WriteFile(key, []byte(OpenSSL(t, "x509", "-in", WritePEM(t, signer), "-pubkey", "-noout")), 0o600); err != nil {
		t.Fatal(err)
	}
	out := OpenSSL(t, "dgst", "-sm3", "-verify", key, "-sigopt", "distid:1234567812345678", "-signature", sig, tbs)
	if !bytes.Contains([]byte(out), []byte("Verified OK")) {
		t.Fatalf("openssl dgst -verify: %s", out)
	}
}
