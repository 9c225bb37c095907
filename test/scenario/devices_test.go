package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/hack/softsdf/softsdftest"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/test/interop"
)

// makes are the profiles of docs/cryptodevice.md that the sample tier does not
// use, and the one that it uses in its other form.
var makes = []string{"TASS", "IBM", "Luna", "Sansec-Message", "TASS-Message", "IBM-Message", "Luna-Message"}

// spine is a CryptoDevice and everything whose keys are in it: the objects all
// have its name.
type spine struct {
	name   string
	device string // spec of the CryptoDevice
}

// TestDevices walks from the device to the verified certificate on a device of
// each make and on one behind an SDF library, all in one process: what
// TestMinistry shows once on the sample's Sansec token.
func TestDevices(t *testing.T) {
	t.Setenv(tokenProfileEnv, "") // it would stand above the file of every make
	tr := newTerrace(t)
	var spines []spine
	for _, profile := range makes {
		spines = append(spines, tr.tokenSpine(t, profile))
	}
	sdf, password := tr.sdfSpine(t)
	spines = append(spines, sdf)
	tr.start()
	tr.mustKubectl("admin", "", "create", "secret", "generic", "sdf-password", "--from-literal=password="+password)
	// All at once, so that they become Ready side by side.
	tr.mustKubectl("admin", tr.objects(t, spines), "apply", "-f", "-")
	for _, s := range spines {
		t.Run(s.name, func(t *testing.T) {
			tr.t = t
			tr.walk(t, s)
		})
	}
	tr.t = t
}

// tokenSpine has a copy of the software token play a make, under a file of its
// own in the tier's token directory.
func (tr *terrace) tokenSpine(t *testing.T, profile string) spine {
	t.Helper()
	name := strings.ToLower(profile)
	maker, messageOnly := strings.CutSuffix(name, "-message")
	conf := "profile = " + maker + "\n"
	if messageOnly {
		conf += "sign-input = message\n"
	}
	module, err := os.ReadFile(filepath.Join(filepath.Dir(tr.bin), "softtoken", "libterrace-softtoken.so"))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(tr.state, "libterrace-softtoken-"+name+".so")
	token := filepath.Join(tr.state, "token")
	if err := os.MkdirAll(token, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{copied: module, filepath.Join(token, "softtoken-"+name+".conf"): []byte(conf)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tr.args = append(tr.args, "--pkcs11-module", copied)
	return spine{name, fmt.Sprintf("pkcs11: {modulePath: %s, tokenLabel: ministry, pinSecretRef: {name: hsm-pin, key: pin}, mechanismProfile: %s}", copied, profile)}
}

// sdfSpine plays the maker's tool of an SDF device: a key at an index for each
// object that signs, and one for the self-test.
func (tr *terrace) sdfSpine(t *testing.T) (s spine, password string) {
	t.Helper()
	d := softsdftest.New(t, softsdftest.Options{})
	tr.args = append(tr.args, "--sdf-library", d.LibraryPath)
	const name, selfTest = "sdf", 1
	d.MakeKey(t, selfTest)
	var keys []string
	for i, kind := range []string{"IndustryCA", "BusinessCA", "ValidationService"} {
		index := uint32(selfTest + 1 + i)
		d.MakeKey(t, index)
		keys = append(keys, fmt.Sprintf("{label: terrace/%s/ministry/%s/g1, index: %d}", kind, name, index))
	}
	return spine{name, fmt.Sprintf("sdf: {libraryPath: %s, passwordSecretRef: {name: sdf-password, key: password}, selfTestKeyIndex: %d, keys: [%s]}",
		d.LibraryPath, selfTest, strings.Join(keys, ", "))}, d.Password
}

// objects are the YAML of the spines, each with a request that needs no approval.
func (tr *terrace) objects(t *testing.T, spines []spine) string {
	t.Helper()
	base := tr.text("validationservice/validation", ".spec.baseURL")
	var all strings.Builder
	for _, s := range spines {
		fmt.Fprintf(&all, `apiVersion: pki.terrace.dev/v1alpha1
kind: CryptoDevice
metadata: {name: %[1]s, namespace: ministry}
spec:
  %[2]s
---
apiVersion: pki.terrace.dev/v1alpha1
kind: ValidationService
metadata: {name: %[1]s, namespace: ministry}
spec: {baseURL: %[3]s-%[1]s, deviceRef: {name: %[1]s}}
---
apiVersion: pki.terrace.dev/v1alpha1
kind: IndustryCA
metadata: {name: %[1]s, namespace: ministry}
spec: {subject: "CN=Industry CA %[1]s,O=Ministry,C=CN", deviceRef: {name: %[1]s}, validationServiceRef: {name: %[1]s}}
---
apiVersion: pki.terrace.dev/v1alpha1
kind: BusinessCA
metadata: {name: %[1]s, namespace: ministry}
spec:
  subject: CN=Business CA %[1]s,O=Ministry,C=CN
  deviceRef: {name: %[1]s}
  validationServiceRef: {name: %[1]s}
  issuer: {industryCARef: {name: %[1]s}}
---
apiVersion: pki.terrace.dev/v1alpha1
kind: RegistrationAuthority
metadata: {name: %[1]s, namespace: ministry}
spec:
  businessCARef: {name: %[1]s}
  allowedProfiles: [person]
  allowedNames: [{subjectBase: C=CN}]
  approvalPolicy: None
---
%[4]s---
`, s.name, s.device, base, strings.Replace(request(t, s.name, "person", csr(t, "/C=CN/O=Ministry/CN="+s.name)), "{name: ra}", "{name: "+s.name+"}", 1))
	}
	return all.String()
}

// walk plays the national root for the industry CA and has OpenSSL judge what
// the keys of the device signed: the chain, both lists and the OCSP answer.
func (tr *terrace) walk(t *testing.T, s spine) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(tr.kubectl("admin", "", "get", "cryptodevice/"+s.name, "industryca/"+s.name, "businessca/"+s.name, "-o", "wide"))
		}
	})
	tr.mustKubectl("admin", "", "wait", "--for=condition=Ready", "--timeout=60s", "cryptodevice/"+s.name)
	tr.mustKubectl("admin", "", "wait", "--for=jsonpath={.status.certificateSigningRequest}", "--timeout=60s", "industryca/"+s.name)
	root := tr.field("industryca/industry", ".spec.rootCertificate")
	b, err := json.Marshal(map[string]any{"spec": map[string][]byte{"rootCertificate": root,
		"certificate": tr.nationalRoot(t, tr.field("industryca/"+s.name, ".status.certificateSigningRequest"))}})
	if err != nil {
		t.Fatal(err)
	}
	tr.mustKubectl("admin", "", "patch", "industryca/"+s.name, "--type=merge", "-p", string(b))
	tr.mustKubectl("admin", "", "wait", "--for=condition=Ready", "--timeout=60s",
		"industryca/"+s.name, "businessca/"+s.name, "validationservice/"+s.name, "certificaterequest/"+s.name)

	leaf, above := tr.chainOf("certificaterequest/" + s.name)
	if err := interop.VerifyChain(above[2], above[1], above[0], leaf); err != nil {
		t.Errorf("OpenSSL: %v", err)
	}
	for i, pem := range [][]byte{leaf, above[0]} {
		cert, err := pki.ParseCertificatePEM(pem)
		if err != nil {
			t.Fatal(err)
		}
		if err := interop.VerifyCRL(above[i], get(t, cert.CRLDistributionPoints[0])); err != nil {
			t.Errorf("OpenSSL, list of the issuer of %s: %v", cert.Subject, err)
		}
		query, err := interop.OCSPRequest(above[i], pem, "sm3", false)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(cert.OCSPServer[0], "application/ocsp-request", bytes.NewReader(query))
		if err != nil {
			t.Fatal(err)
		}
		if status, err := interop.VerifyOCSP(above[i], pem, readAll(t, resp.Body), "sm3"); err != nil || status != "good" {
			t.Errorf("OpenSSL, OCSP of %s: %q, %v, want good", cert.Subject, status, err)
		}
	}
}

// nationalRoot has the development national root certify a signing request.
func (tr *terrace) nationalRoot(t *testing.T, csr []byte) []byte {
	t.Helper()
	cmd := exec.Command(filepath.Join(tr.bin, "terrace"), "dev", "national-root", "--dir", filepath.Join(tr.state, "national-root"), "--csr", "-")
	cmd.Stdin = bytes.NewReader(csr)
	cmd.Stderr = os.Stderr
	cert, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
