package scenario

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/test/interop"
)

// TestMinistry walks the main flow, then what must survive: a kill, and the
// loss of the API server's database.
func TestMinistry(t *testing.T) {
	tr := newTerrace(t)
	tr.start()
	first := csr(t, "/C=CN/O=Ministry/OU=Certificates/CN=张三")
	firstYAML := request(t, "first", "person", first)
	tr.mustKubectl("applicant", firstYAML, "apply", "-f", "-")
	t.Run("two people approve", func(t *testing.T) { fourEyes(t, tr, firstYAML) })
	if t.Failed() {
		return
	}
	t.Run("the tier is well", func(t *testing.T) { tierIsWell(t, tr) })
	t.Run("directory holds the certificate", func(t *testing.T) { inDirectory(t, tr, "first") })
	t.Run("certificate is verified by others", func(t *testing.T) { verifyOthers(t, tr) })
	t.Run("people have the rights of their roles", func(t *testing.T) { checkRights(t, tr, firstYAML) })
	t.Run("bad input is refused", func(t *testing.T) { refuse(t, tr) })
	t.Run("held and released", func(t *testing.T) { holdAndRelease(t, tr) })
	t.Run("revoked certificate is answered as such", func(t *testing.T) { revoke(t, tr) })
	t.Run("pruned and created again", func(t *testing.T) { pruneAndCreate(t, tr, firstYAML) })
	t.Run("what is in use is not deleted", func(t *testing.T) { protected(t, tr) })
	t.Run("a business CA issues another", func(t *testing.T) { subordinate(t, tr) })
	t.Run("a business CA is certified outside", func(t *testing.T) { external(t, tr) })
	t.Run("trust list", func(t *testing.T) { trustList(t, tr) })
	t.Run("personal data comes from a Secret", func(t *testing.T) { identity(t, tr) })
	t.Run("secrets stay out of sight", func(t *testing.T) { secretsStayOut(t, tr) })
	t.Run("metrics are scraped", func(t *testing.T) { scrape(t, tr) })

	before := snapshot(tr)
	t.Run("carries on after kill -9", func(t *testing.T) {
		tr.t = t
		tr.stop(syscall.SIGKILL)
		tr.start()
		tr.compare(before)
	})
	t.Run("the same YAML after etcd was lost signs nothing", func(t *testing.T) {
		tr.t = t
		tr.stop(syscall.SIGTERM)
		if err := os.RemoveAll(filepath.Join(tr.state, "etcd")); err != nil {
			t.Fatal(err)
		}
		tr.start()
		tr.mustKubectl("applicant", firstYAML, "apply", "-f", "-")
		tr.mustKubectl("applicant", "", "wait", "--for=condition=Ready", "--timeout=60s", "certificaterequest/first")
		tr.compare(before)
		if reason := tr.text("certificaterequest/first", `.status.conditions[?(@.type=="Issued")].reason`); reason != "Adopted" {
			t.Errorf("Issued has reason %q, want Adopted", reason)
		}
		adoptedRevocations(t, tr)
		if text := metrics(t, tr); strings.Contains(text, "terrace_certificates_issued_total{") {
			t.Errorf("certificates were signed after etcd was lost:\n%s", text)
		}
	})
}

// snapshot keeps the certificates that must stay the same.
func snapshot(tr *terrace) map[string]string {
	kept := map[string]string{}
	for _, object := range []string{"industryca/industry", "businessca/business", "certificaterequest/first"} {
		kept[object] = string(tr.field(object, ".status.certificate"))
	}
	kept["signing request"] = string(tr.field("industryca/industry", ".status.certificateSigningRequest"))
	return kept
}

func (tr *terrace) compare(before map[string]string) {
	tr.t.Helper()
	for object, cert := range before {
		if object == "signing request" {
			if got := string(tr.field("industryca/industry", ".status.certificateSigningRequest")); got != cert {
				tr.t.Error("the industry CA's signing request was signed anew")
			}
			continue
		}
		if got := string(tr.field(object, ".status.certificate")); got != cert {
			tr.t.Errorf("%s has another certificate than before", object)
		}
	}
}

// chain returns the certificate of the request first and what stands above it.
func chain(tr *terrace) (leaf []byte, above [][]byte) {
	tr.t.Helper()
	return tr.chainOf("certificaterequest/first")
}

// chainOf returns an issued certificate and what stands above it, issuer first, root last.
func (tr *terrace) chainOf(request string) (leaf []byte, above [][]byte) {
	tr.t.Helper()
	leaf = tr.field(request, ".status.certificate")
	all, err := pki.ParseCertificatesPEM(tr.field(request, ".status.chain"), 8)
	if err != nil {
		tr.t.Fatal(err)
	}
	for _, c := range all {
		above = append(above, pki.EncodePEM("CERTIFICATE", c.Raw))
	}
	if len(above) != 3 {
		tr.t.Fatalf("chain has %d certificates, want business CA, industry CA, root", len(above))
	}
	return leaf, above
}

func verifyOthers(t *testing.T, tr *terrace) {
	leaf, above := chain(tr)
	rootFirst := [][]byte{above[2], above[1], above[0], leaf}
	if err := interop.VerifyChain(rootFirst...); err != nil {
		t.Errorf("OpenSSL: %v", err)
	}
	cert, err := pki.ParseCertificatePEM(leaf)
	if err != nil {
		t.Fatal(err)
	}
	crl := get(t, cert.CRLDistributionPoints[0])
	business, err := pki.ParseCertificatePEM(above[0])
	if err != nil {
		t.Fatal(err)
	}
	arl := get(t, business.CRLDistributionPoints[0])
	rootCRL, err := os.ReadFile(filepath.Join(tr.state, "national-root", "root.crl"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ issuer, list []byte }{"CRL": {above[0], crl}, "ARL": {above[1], arl}, "root CRL": {above[2], rootCRL}} {
		if err := interop.VerifyCRL(c.issuer, c.list); err != nil {
			t.Errorf("OpenSSL, %s: %v", name, err)
		}
	}
	verifyPath(t, above, leaf, [][]byte{crl, arl, rootCRL}, false)
	verifyOCSP(t, tr, "good")
}

func checkRights(t *testing.T, tr *terrace, yaml string) {
	for _, c := range []struct{ who, verb, what, want string }{
		{"applicant", "create", "certificaterequests.pki.terrace.dev", "yes"},
		{"applicant", "get", "secrets", "no"},
		{"applicant", "create", "businesscas.pki.terrace.dev", "no"},
		{"applicant", "patch", "certificaterequests.pki.terrace.dev/status", "no"},
		{"reviewer-1", "get", "certificaterequests.pki.terrace.dev", "yes"},
		{"reviewer-1", "create", "certificaterequests.pki.terrace.dev", "no"},
		{"reviewer-1", "create", "approvals.pki.terrace.dev", "yes"},
		{"reviewer-1", "create", "certificaterevocations.pki.terrace.dev", "no"},
		{"revoker", "create", "certificaterevocations.pki.terrace.dev", "yes"},
		{"revoker", "create", "approvals.pki.terrace.dev", "no"},
		{"applicant", "create", "approvals.pki.terrace.dev", "no"},
		{"reviewer-2", "get", "secrets", "no"},
		{"admin", "create", "businesscas.pki.terrace.dev", "yes"},
	} {
		what, sub, _ := strings.Cut(c.what, "/")
		args := []string{"auth", "can-i", c.verb, what}
		if sub != "" {
			args = append(args, "--subresource="+sub)
		}
		out, _ := tr.kubectl(c.who, "", args...) // "no" exits with 1
		if got := strings.TrimSpace(out); !strings.HasSuffix(got, c.want) {
			t.Errorf("may %s %s %s: %q, want %s", c.who, c.verb, c.what, got, c.want)
		}
	}
	if out, err := tr.kubectl("applicant", strings.Replace(yaml, "name: person", "name: device", 1), "apply", "-f", "-"); err == nil || !strings.Contains(out, "immutable") {
		t.Errorf("changed spec: %v: %s, want a refusal that says immutable", err, out)
	}
}

func refuse(t *testing.T, tr *terrace) {
	p256 := filepath.Join(t.TempDir(), "p256.key")
	openssl(t, nil, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", p256)
	good := csr(t, "/C=CN/O=Ministry/CN=Li Si")
	flipped := flip(t, good)
	for name, c := range map[string]struct {
		yaml string
		want string
	}{
		"another curve":            {request(t, "bad-curve", "person", openssl(t, nil, "req", "-new", "-key", p256, "-subj", "/C=CN/O=Ministry/CN=x")), "SM2"},
		"signature that is broken": {request(t, "bad-signature", "person", flipped), "signature"},
		"no PEM":                   {request(t, "bad-pem", "person", []byte("hello")), "PEM"},
		"oversized":                {request(t, "bad-size", "person", append(good, []byte(strings.Repeat("x", 40000))...)), "21848"},
	} {
		if out, err := tr.kubectl("applicant", c.yaml, "apply", "-f", "-"); err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v: %s, want a refusal that says %q", name, err, out, c.want)
		}
	}
	for name, c := range map[string]struct{ subject, profile, check string }{
		"foreign": {"/C=US/O=Ministry/CN=x", "person", "subjectIsWithinRA"},
		"profile": {"/C=CN/O=Ministry/CN=x", "ocsp-signer", "profileIsAllowed"},
	} {
		tr.mustKubectl("applicant", request(t, name, c.profile, csr(t, c.subject)), "apply", "-f", "-")
		tr.mustKubectl("applicant", "", "wait", "--for=condition=Stalled", "--timeout=60s", "certificaterequest/"+name)
		verdict := tr.text("certificaterequest/"+name, `.status.verdicts[?(@.check=="`+c.check+`")].result`)
		if verdict != "Denied" {
			t.Errorf("%s: check %s says %q, want Denied:\n%s", name, c.check, verdict, tr.text("certificaterequest/"+name, ".status"))
		}
		if serial := tr.text("certificaterequest/"+name, ".status.serialNumber"); serial != "" {
			t.Errorf("%s: denied, but has serial %s", name, serial)
		}
	}
}

// flip changes one bit of a CSR's signature.
func flip(t *testing.T, pem []byte) []byte {
	t.Helper()
	der := openssl(t, pem, "req", "-outform", "DER")
	der[len(der)-3] ^= 1
	return []byte("-----BEGIN CERTIFICATE REQUEST-----\n" + base64.StdEncoding.EncodeToString(der) + "\n-----END CERTIFICATE REQUEST-----\n")
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		resp, err := http.Get(url)
		if err == nil && resp.StatusCode == http.StatusOK {
			return readAll(t, resp.Body)
		}
		if err == nil {
			resp.Body.Close()
		}
		if time.Now().After(deadline) {
			t.Fatalf("GET %s: %v %v", url, err, resp)
		}
	}
}

// verifyPath has BouncyCastle validate the path, which must hold or be revoked.
func verifyPath(t *testing.T, above [][]byte, leaf []byte, crls [][]byte, revoked bool) {
	t.Helper()
	err := interop.VerifyPath(leaf, above, crls)
	switch {
	case revoked && (err == nil || !strings.Contains(err.Error(), "revo")):
		t.Errorf("BouncyCastle, path of a revoked certificate: %v, want a refusal that says revocation", err)
	case !revoked && err != nil:
		t.Errorf("BouncyCastle, path: %v", err)
	}
}

// verifyOCSP asks as OpenSSL does, by each hash, and has BouncyCastle judge the answers.
func verifyOCSP(t *testing.T, tr *terrace, want string) {
	t.Helper()
	leaf, above := chain(tr)
	askOCSP(t, leaf, above[0], want)
}

func askOCSP(t *testing.T, leaf, issuer []byte, want string) {
	t.Helper()
	cert, err := pki.ParseCertificatePEM(leaf)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{"sha1", "sha256", "sm3"} {
		for _, nonce := range []bool{true, false} {
			req, err := interop.OCSPRequest(issuer, leaf, hash, nonce)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.Post(cert.OCSPServer[0], "application/ocsp-request", bytes.NewReader(req))
			if err != nil {
				t.Fatal(err)
			}
			got, err := interop.BouncyOCSP(issuer, leaf, req, readAll(t, resp.Body))
			if err != nil || got != want {
				t.Errorf("OCSP by %s, nonce %t: %q, %v, want %s", hash, nonce, got, err, want)
			}
		}
	}
}

func revoke(t *testing.T, tr *terrace) {
	leaf, above := chain(tr)
	cert, err := pki.ParseCertificatePEM(leaf)
	if err != nil {
		t.Fatal(err)
	}
	tr.mustKubectl("revoker", revocation("lost-key", "first", "Revoke", "KeyCompromise", "Immediate"), "apply", "-f", "-")
	tr.mustKubectl("revoker", "", "wait", "--for=condition=Ready", "--timeout=60s", "certificaterevocation/lost-key")
	verifyOCSP(t, tr, "revoked")
	list, err := smx509.ParseRevocationList(get(t, cert.CRLDistributionPoints[0]))
	if err != nil {
		t.Fatal(err)
	}
	if number := tr.text("certificaterevocation/lost-key", ".status.crlNumber"); number != list.Number.String() {
		t.Errorf("status.crlNumber is %s, the list that is served has %s", number, list.Number)
	}
	if !slices.ContainsFunc(list.RevokedCertificateEntries, func(e smx509.RevocationListEntry) bool { return e.SerialNumber.Cmp(cert.SerialNumber) == 0 }) {
		t.Error("the CRL that was asked for at once does not hold the serial")
	}
	rootCRL, err := os.ReadFile(filepath.Join(tr.state, "national-root", "root.crl"))
	if err != nil {
		t.Fatal(err)
	}
	business, err := pki.ParseCertificatePEM(above[0])
	if err != nil {
		t.Fatal(err)
	}
	verifyPath(t, above, leaf, [][]byte{get(t, cert.CRLDistributionPoints[0]), get(t, business.CRLDistributionPoints[0]), rootCRL}, true)
	outOfDirectory(t, tr, "first")
	// Garbage is answered, with the status that RFC 6960 has for it.
	resp, err := http.Post(cert.OCSPServer[0], "application/ocsp-request", strings.NewReader("garbage"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := readAll(t, resp.Body), []byte{0x30, 0x03, 0x0a, 0x01, 0x01}; !bytes.Equal(got, want) {
		t.Errorf("garbage is answered with %x, want malformedRequest %x", got, want)
	}
}

func metrics(t *testing.T, tr *terrace) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(tr.state, "endpoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	var endpoints map[string]string
	if err := json.Unmarshal(b, &endpoints); err != nil {
		t.Fatal(err)
	}
	return string(get(t, endpoints["metrics"]))
}

func scrape(t *testing.T, tr *terrace) {
	text := metrics(t, tr)
	for _, want := range []string{`terrace_certificates_issued_total{authority="BusinessCA/ministry/business"}`,
		`terrace_crl_next_update_timestamp_seconds{authority="IndustryCA/ministry/industry",shard="0"}`, "terrace_validation_request",
		`terrace_crypto_device_reachable{device="ministry/hsm"} 1`, "controller_runtime_reconcile_total"} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
}
