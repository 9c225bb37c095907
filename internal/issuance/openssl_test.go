package issuance_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/pki"
)

// TestOpenSSL has an independent implementation verify each link.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is not installed; it is needed to cross-check certificates")
	}
	rootCert, caCert, caKey := chain(t)
	cert := issue(t, caKey, subscriberOrder(t, caCert, &newKey(t).PublicKey))
	dir := t.TempDir()
	write := func(file string, c *smx509.Certificate) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, pki.EncodePEM(pki.PEMCertificate, c.Raw), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rootFile, caFile, certFile := write("root.pem", rootCert), write("ca.pem", caCert), write("cert.pem", cert)
	verify := func(issuer, target string) (string, error) {
		out, err := exec.Command(openssl, "verify", "-vfyopt", "distid:1234567812345678", "-partial_chain",
			"-attime", "1772366400", "-x509_strict", "-trusted", issuer, target).CombinedOutput()
		return string(out), err
	}
	for _, link := range [][2]string{{rootFile, caFile}, {caFile, certFile}} {
		if out, err := verify(link[0], link[1]); err != nil {
			t.Errorf("openssl verify %s: %v\n%s", filepath.Base(link[1]), err, out)
		}
	}
	if out, err := verify(rootFile, certFile); err == nil {
		t.Errorf("openssl verified a certificate under another issuer: %s", out)
	}
	out, err := exec.Command(openssl, "x509", "-in", certFile, "-noout", "-text").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"Digital Signature, Non Repudiation", "email:zhang@example.cn", "URI:http://crl.example/1.crl", "OCSP - URI:http://ocsp.example/"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("openssl x509 -text does not show %q:\n%s", want, out)
		}
	}
}
