package scenario

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/test/interop"
)

// businessCA is a BusinessCA whose issuer is the given YAML flow mapping.
func businessCA(name, issuer string, pathLength int) string {
	return fmt.Sprintf(`apiVersion: pki.terrace.dev/v1alpha1
kind: BusinessCA
metadata: {name: %[1]s, namespace: ministry}
spec:
  subject: CN=%[1]s,O=Ministry,C=CN
  deviceRef: {name: hsm}
  issuer: %[2]s
  pathLength: %[3]d
`, name, issuer, pathLength)
}

// subordinate issues a CA below a business CA, and refuses one where the path
// has no room for it.
func subordinate(t *testing.T, tr *terrace) {
	tr.mustKubectl("admin", businessCA("upper", "{industryCARef: {name: industry}}", 1), "apply", "-f", "-")
	tr.mustKubectl("admin", businessCA("lower", "{businessCARef: {name: upper}}", 0), "apply", "-f", "-")
	tr.mustKubectl("admin", "", "wait", "--for=condition=Ready", "--timeout=60s", "businessca/lower")
	all, err := pki.ParseCertificatesPEM(tr.field("businessca/lower", ".status.chain"), 8)
	if err != nil || len(all) != 3 {
		t.Fatalf("chain of lower: %d certificates, %v, want upper, industry, root", len(all), err)
	}
	files := [][]byte{}
	for i := len(all) - 1; i >= 0; i-- {
		files = append(files, pki.EncodePEM("CERTIFICATE", all[i].Raw))
	}
	if err := interop.VerifyChain(append(files, tr.field("businessca/lower", ".status.certificate"))...); err != nil {
		t.Errorf("OpenSSL: %v", err)
	}
	tr.mustKubectl("admin", businessCA("too-low", "{businessCARef: {name: lower}}", 0), "apply", "-f", "-")
	tr.mustKubectl("admin", "", "wait", "--for=condition=Stalled", "--timeout=60s", "businessca/too-low")
	if message := tr.text("businessca/too-low", `.status.conditions[?(@.type=="Ready")].message`); !strings.Contains(strings.ToLower(message), "path") {
		t.Errorf("a CA below pathLength 0: %q, want a message about the path length", message)
	}
	tr.mustKubectl("admin", "", "delete", "businessca/too-low")
}

// external has the national root certify a business CA, after a certificate
// for another key was refused.
func external(t *testing.T, tr *terrace) {
	tr.mustKubectl("admin", businessCA("outside", "{external: {}}", 0), "apply", "-f", "-")
	tr.mustKubectl("admin", "", "wait", `--for=jsonpath={.status.conditions[?(@.type=="CertificateReady")].reason}=AwaitingCertificate`, "--timeout=60s", "businessca/outside")
	root := tr.field("industryca/industry", ".spec.rootCertificate")
	set := func(cert []byte) {
		b, err := json.Marshal(map[string]any{"spec": map[string]any{"issuer": map[string]any{"external": map[string]string{
			"certificate": base64.StdEncoding.EncodeToString(cert), "chain": base64.StdEncoding.EncodeToString(root)}}}})
		if err != nil {
			t.Fatal(err)
		}
		tr.mustKubectl("admin", "", "patch", "businessca/outside", "--type=merge", "-p", string(b))
	}
	set(tr.field("industryca/industry", ".spec.certificate"))
	tr.mustKubectl("admin", "", "wait", `--for=jsonpath={.status.conditions[?(@.type=="CertificateReady")].reason}=CertificateInvalid`, "--timeout=60s", "businessca/outside")
	if message := tr.text("businessca/outside", `.status.conditions[?(@.type=="Ready")].message`); !strings.Contains(message, "another key") {
		t.Errorf("certificate for another key: %q", message)
	}
	set(tr.nationalRoot(t, tr.field("businessca/outside", ".status.certificateSigningRequest")))
	tr.mustKubectl("admin", "", "wait", "--for=condition=Ready", "--timeout=60s", "businessca/outside")
}

// identity puts a personal number, which only a Secret holds, into a certificate.
func identity(t *testing.T, tr *terrace) {
	const number = "SB1234567890"
	tr.mustKubectl("admin", "", "create", "secret", "generic", "zhang-san", "--type=pki.terrace.dev/identity", "--from-literal=insurance="+number)
	yaml := request(t, "insured", "person", csr(t, "/C=CN/O=Ministry/CN=x")) + `  identity:
    - name: insuranceNumber
      secretRef: {name: zhang-san, key: insurance}
`
	tr.mustKubectl("applicant", yaml, "apply", "-f", "-")
	tr.approve("insured", "reviewer-1", "reviewer-2")
	tr.mustKubectl("applicant", "", "wait", "--for=condition=Ready", "--timeout=60s", "certificaterequest/insured")
	outOfDirectory(t, tr, "insured") // the sample's directory is public
	text := string(openssl(t, tr.field("certificaterequest/insured", ".status.certificate"), "x509", "-noout", "-text", "-certopt", "ext_parse"))
	if !strings.Contains(text, "1.2.156.10260.4.1.2") || !strings.Contains(text, number) {
		t.Errorf("certificate has no insuranceNumber:\n%s", text)
	}
	object := tr.mustKubectl("admin", "", "get", "certificaterequest/insured", "-o", "yaml")
	log, err := os.ReadFile(filepath.Join(tr.state, "terrace.log"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(object, number) || strings.Contains(string(log), number) {
		t.Error("the number stands in the object or in the log")
	}
}

// secretsStayOut looks for the PIN where it must not be.
func secretsStayOut(t *testing.T, tr *terrace) {
	said := tr.out.String() + tr.mustKubectl("admin", "", "get", "cryptodevices,directories,events", "-A", "-o", "yaml")
	for _, secret := range []string{"pin", "directory-master", "directory-slave-1"} {
		value, err := os.ReadFile(filepath.Join(tr.state, "secrets", secret))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"terrace.log", "apiserver.log", "endpoints.json", "kubeconfig"} {
			b, err := os.ReadFile(filepath.Join(tr.state, name))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, value) {
				t.Errorf("%s holds the secret %s", name, secret)
			}
		}
		if strings.Contains(said, string(value)) {
			t.Errorf("output, status or events hold the secret %s", secret)
		}
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "secrets": 0o700, "secrets/pin": 0o600, "kubeconfig": 0o600} {
		info, err := os.Stat(filepath.Join(tr.state, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
}
