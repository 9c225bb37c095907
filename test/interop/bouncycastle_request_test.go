package interop

import (
	"encoding/asn1"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"
)

func TestBouncyCastleReadsCertificates(t *testing.T) {
	tr := newTree(t)
	tmpl := leafTemplate()
	tmpl.CRLDistributionPoints = []string{"http://crl.example.test/ca.crl"}
	tmpl.OCSPServer = []string{"http://ocsp.example.test/"}
	tmpl.IssuingCertificateURL = []string{"http://ca.example.test/ca.cer"}
	leaf := issue(t, &tr.ca, "张三", tmpl)
	got, err := BouncyCertificate(leaf.pem(), tr.ca.pem())
	if err != nil {
		t.Fatal(err)
	}
	want := Certificate{
		Subject: "CN=张三,O=Interop,C=CN", Issuer: "CN=CA,O=Interop,C=CN", PathLength: -1,
		Serial: leaf.cert.SerialNumber.Text(16), NotBefore: leaf.cert.NotBefore, NotAfter: leaf.cert.NotAfter,
		KeyAlgorithm: "1.2.840.10045.2.1", KeyParameters: "1.2.156.10197.1.301",
		KeyUsage: []string{"digitalSignature", "nonRepudiation"}, ExtendedKeyUsage: []string{},
		CRLDistributionPoints: tmpl.CRLDistributionPoints, OCSPServers: tmpl.OCSPServer, CAIssuers: tmpl.IssuingCertificateURL,
		Critical: []string{"2.5.29.15", "2.5.29.19"},
	}
	opts := cmp.FilterPath(func(p cmp.Path) bool {
		return strings.HasSuffix(p.String(), "KeyIdentifier") || p.String() == "PublicKey" || p.String() == "Extensions"
	}, cmp.Ignore())
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("certificate (-want +got):\n%s", diff)
	}
	if len(got.SubjectKeyIdentifier) != 40 || got.AuthorityKeyIdentifier == "" || got.Extensions["2.5.29.15"] != "030206c0" {
		t.Errorf("identifiers %q, %q, keyUsage %q", got.SubjectKeyIdentifier, got.AuthorityKeyIdentifier, got.Extensions["2.5.29.15"])
	}
	_, err = BouncyCertificate(leaf.pem(), tr.root.pem())
	requireVerdict(t, err, "BouncyCastle cert")
	// A certificate has the form of a request: signed part, algorithm, signature.
	var parts certificationRequest
	if _, err := asn1.Unmarshal(leaf.cert.Raw, &parts); err != nil {
		t.Fatal(err)
	}
	parts.Algorithm = asn1.RawValue{FullBytes: sm2WithSM3Null}
	withNull, err := asn1.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	_, err = BouncyCertificate(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: withNull}), nil)
	requireVerdict(t, err, "signatureAlgorithm differs")
}

func TestBouncyCastleMakesRequestsThatOpenSSLVerifies(t *testing.T) {
	keyFile, csr, err := MakeBouncyKeyAndCSR(t.TempDir(), "C=CN,O=Ministry,CN=张三", "secret")
	if err != nil {
		t.Fatal(err)
	}
	requireVerdict(t, VerifyCSR(csr), "")
	info, err := os.Stat(keyFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v, want mode 0600", info, err)
	}
	block, _ := pem.Decode(csr)
	if block == nil {
		t.Fatal("no PEM")
	}
	parsed, err := smx509.ParseCertificateRequest(block.Bytes)
	if err != nil || parsed.Subject.CommonName != "张三" {
		t.Errorf("gmsm reads %v, %v", parsed, err)
	}
	broken, err := WithBrokenSignature(csr)
	if err != nil {
		t.Fatal(err)
	}
	requireVerdict(t, VerifyCSR(broken), "verif")
	if _, _, err := MakeBouncyKeyAndCSR(t.TempDir(), "no name\tat all", ""); err == nil {
		t.Error("a tab in the subject is accepted")
	}
}

func TestBatchRefusesWhatItDidNotRun(t *testing.T) {
	var b Batch
	a := b.Certificate([]byte("x"), nil)
	if a.Err == nil {
		t.Error("an answer before Run is no error")
	}
	if err := (&Batch{ops: b.ops}).deliver([][]byte{[]byte(`{"ok":true,"result":{}}`)}, os.ErrInvalid); err == nil {
		t.Error("a failed program whose reply says ok is believed")
	}
}
