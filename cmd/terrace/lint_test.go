package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"sigs.k8s.io/yaml"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/profile"
	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/bench"
	"github.com/terrace-pki/terrace/internal/crl"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
)

// office is a root and a CA that issue what Terrace issues.
type office struct {
	t         *testing.T
	dir       string
	root, ca  *smx509.Certificate
	rootKey   *sm2.PrivateKey
	caKey     *sm2.PrivateKey
	subscribe *sm2.PrivateKey
	serial    int
}

var officeURLs = pki.URLs{CRL: []string{"http://pki.example/crl/1.crl"}, OCSP: []string{"http://pki.example/ocsp"}, CAIssuers: []string{"http://pki.example/ca.cer"}}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, dir: t.TempDir()}
	for _, k := range []**sm2.PrivateKey{&o.rootKey, &o.caKey, &o.subscribe} {
		key, err := sm2.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		*k = key
	}
	o.root = o.issue(o.rootKey, issuance.Order{Profile: pki.CAProfile(2, 10000*time.Hour, 0), PublicKey: &o.rootKey.PublicKey}, "CN=Root,C=CN")
	o.ca = o.issue(o.rootKey, issuance.Order{Profile: pki.CAProfile(0, 5000*time.Hour, 0), PublicKey: &o.caKey.PublicKey, Issuer: o.root, IssuerURLs: officeURLs}, "CN=CA,C=CN")
	o.write("ca.pem", pki.EncodePEM(pki.PEMCertificate, o.ca.Raw))
	o.write("root.pem", pki.EncodePEM(pki.PEMCertificate, o.root.Raw))
	return o
}

func (o *office) issue(key *sm2.PrivateKey, order issuance.Order, subject string) *smx509.Certificate {
	o.t.Helper()
	o.serial++
	order.Serial = pki.Serial(fmt.Sprintf("7000000000000000000000000000%04X", o.serial))
	order.Now = time.Now()
	name, err := pki.ParseName(subject)
	if err != nil {
		o.t.Fatal(err)
	}
	order.Subject = name
	token, err := issuance.Prepare(order)
	if err != nil {
		o.t.Fatal(err)
	}
	der, err := issuance.Issue(key, token)
	if err != nil {
		o.t.Fatal(err)
	}
	cert, err := smx509.ParseCertificate(der)
	if err != nil {
		o.t.Fatal(err)
	}
	return cert
}

func (o *office) write(name string, b []byte) string {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

func (o *office) path(name string) string { return filepath.Join(o.dir, name) }

// run runs a command and returns what it printed and its exit code.
func runTerrace(t *testing.T, stdin []byte, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	cmd := command("terrace")
	cmd.SetIn(bytes.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		return out.String() + err.Error(), exitCode(err)
	}
	return out.String(), 0
}

// TestLintOfShippedProfiles: what each profile of config/profiles issues, the
// responder's own, CAs and lists have nothing to be found. Notices are left,
// for a profile may allow more than it should.
func TestLintOfShippedProfiles(t *testing.T) {
	o := newOffice(t)
	files, err := filepath.Glob("../../config/profiles/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	linted := 0
	lint := func(name string, der []byte, kind string) {
		path := o.write(name+".der", der)
		out, code := runTerrace(t, nil, "lint", path, "--issuer", o.path("ca.pem"), "--issuer", o.path("root.pem"), "--profile", kind)
		if code != 0 || !strings.Contains(out, "nothing found") {
			t.Errorf("%s: exit code %d, %s", name, code, out)
		}
		linted++
	}
	kinds := map[string]string{"ocsp-signer": "ocsp-signer", "tsa": "tsa"}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var p pkiv1.CertificateProfile
		if err := yaml.Unmarshal(b, &p); err != nil {
			t.Fatal(err)
		}
		if p.Kind != "CertificateProfile" {
			continue
		}
		made, err := profile.FromSpec(p.Name, p.Spec)
		if err != nil {
			t.Fatal(err)
		}
		order := issuance.Order{Profile: made, PublicKey: &o.subscribe.PublicKey, Issuer: o.ca, IssuerURLs: officeURLs, Identity: map[string]string{}}
		if p.Name == "tls-server" {
			order.SubjectAltNames.DNS = []string{"www.example"}
		}
		for _, i := range made.IdentityExtensions {
			order.Identity[i.Name] = "11010519491231002X"
		}
		kind, ok := kinds[p.Name]
		if !ok {
			kind = "signing"
		}
		lint(p.Name, o.issue(o.caKey, order, "CN=张三,O=人社厅,C=CN").Raw, kind)
		if kind == "signing" {
			order.Profile.KeyUsage, order.Profile.ExtKeyUsage = pki.KeyUsagesEncryption, nil
			lint(p.Name+"-encryption", o.issue(o.caKey, order, "CN=张三,O=人社厅,C=CN").Raw, "encryption")
		}
	}
	responder := issuance.Order{Profile: pki.ResponderProfile(24 * time.Hour), PublicKey: &o.subscribe.PublicKey, Issuer: o.ca}
	lint("responder", o.issue(o.caKey, responder, "CN=OCSP,C=CN").Raw, "ocsp-signer")
	lint("ca", o.ca.Raw, "ca")
	lint("root", o.root.Raw, "ca")
	for _, arl := range []bool{false, true} {
		der, err := crl.Sign(o.caKey, crl.Template{Issuer: o.ca, Number: 9, ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour), OnlyCACertificates: arl,
			DistributionPoint: "http://pki.example/crl/1.crl", Entries: []crl.Entry{{Serial: "05", At: time.Now().Add(-time.Hour), Reason: pki.ReasonKeyCompromise}}})
		if err != nil {
			t.Fatal(err)
		}
		lint(fmt.Sprintf("list-%t", arl), der, map[bool]string{false: "crl", true: "arl"}[arl])
	}
	if linted < 15 {
		t.Errorf("linted %d, want every profile", linted)
	}
}

func TestLintCommand(t *testing.T) {
	o := newOffice(t)
	order := issuance.Order{Profile: pki.Profile{Name: "p", KeyUsage: pki.KeyUsagesSigning, Validity: time.Hour}, PublicKey: &o.subscribe.PublicKey, Issuer: o.ca, IssuerURLs: officeURLs}
	good := o.issue(o.caKey, order, "CN=a,C=CN").Raw
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	chain := o.write("chain.pem", pki.EncodePEM(pki.PEMCertificate, good, o.ca.Raw, o.root.Raw))
	badPath := o.write("bad.der", bad)
	name, err := pki.ParseName("CN=a,C=CN")
	if err != nil {
		t.Fatal(err)
	}
	request, err := pki.CreateRequest(o.subscribe, name)
	if err != nil {
		t.Fatal(err)
	}
	for desc, c := range map[string]struct {
		stdin []byte
		args  []string
		code  int
		want  string
	}{
		"chain":                {nil, []string{chain}, 0, "certificate 3: nothing found"},
		"standard input":       {good, []string{"-"}, 0, "-: certificate 1: nothing found"},
		"request":              {request, []string{"-"}, 0, "request 1: nothing found"},
		"issuer not known":     {bad, []string{"-"}, 0, "nothing found"},
		"signature":            {nil, []string{badPath, "--issuer", o.path("ca.pem")}, exitFindings, "error: signature-verifies"},
		"wrong kind":           {good, []string{"-", "--profile", "tsa"}, exitFindings, "error: tsa-ext-key-usage"},
		"kind of another sort": {good, []string{"-", "--profile", "arl"}, exitUnreadable, "cannot be linted as arl"},
		"no such kind":         {good, []string{"-", "--profile", "x"}, exitUnreadable, "want one of ca, signing"},
		"not readable":         {[]byte("hello"), []string{"-"}, exitUnreadable, "is neither PEM nor"},
		"cut off":              {good[:50], []string{"-"}, exitUnreadable, "is neither PEM nor"},
		"no such file":         {nil, []string{o.path("none")}, exitUnreadable, "no such file"},
		"no file":              {nil, nil, exitUnreadable, "files"},
		"unknown flag":         {nil, []string{"--x"}, exitUnreadable, "unknown flag"},
		"list":                 {nil, []string{"--list"}, 0, "RFC 5280 §5.2.5"},
	} {
		out, code := runTerrace(t, c.stdin, append([]string{"lint"}, c.args...)...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit code %d, want %d; printed %s", desc, code, c.code, out)
		}
	}
	out, _ := runTerrace(t, nil, "lint", badPath, "--json", "--issuer", o.path("ca.pem"))
	var parsed []struct {
		Family   string
		Findings []struct{ Lint, Severity, Detail string }
	}
	out = out[:strings.LastIndex(out, "]")+1]
	if err := json.Unmarshal([]byte(out), &parsed); err != nil || len(parsed) != 1 || len(parsed[0].Findings) != 1 ||
		parsed[0].Findings[0].Lint != "signature-verifies" || parsed[0].Findings[0].Severity != "error" {
		t.Errorf("JSON: %v\n%s", err, out)
	}
}

func TestLedgerCheck(t *testing.T) {
	dir := t.TempDir()
	stage, closeAll, err := app.OpenBench(t.Context(), app.BenchConfig{LedgerDSN: "sqlite:" + filepath.Join(dir, "ledger.db"),
		LocalDevice: app.LocalDevice{KeystoreDir: filepath.Join(dir, "keys"), PasswordFile: filepath.Join(dir, "password")}}, filepath.Join(dir, "root"), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeAll(); err != nil {
			t.Error(err)
		}
	})
	if _, err := stage.Issue(t.Context(), 20, 10, 2, bench.Raw{}); err != nil {
		t.Fatal(err)
	}
	ledger := []string{"ledger", "check", "--ledger", "sqlite:" + filepath.Join(dir, "ledger.db")}
	if out, code := runTerrace(t, nil, ledger...); code != exitFindings || !strings.Contains(out, "ledger-crl-present") {
		t.Errorf("without lists: exit code %d, %s", code, out)
	}
	if _, err := stage.CRL(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if out, code := runTerrace(t, nil, ledger...); code != 0 || !strings.Contains(out, "1 CAs, 20 certificates, 2 CRLs with 0 entries; 0 errors") {
		t.Errorf("exit code %d, %s", code, out)
	}
	// The bench goes on: its ledger was not taken over.
	if _, err := stage.CRL(t.Context(), false); err != nil {
		t.Error(err)
	}
	if out, code := runTerrace(t, nil, append(ledger, "--json")...); code != 0 || !strings.Contains(out, `"certificates": 20`) {
		t.Errorf("exit code %d, %s", code, out)
	}
	for _, bad := range [][]string{{"ledger", "check", "--ledger", "sqlite:" + filepath.Join(dir, "none.db")}, {"ledger", "check", "--ledger", "x"}, append(ledger, "--after", "x")} {
		if out, code := runTerrace(t, nil, bad...); code != exitUnreadable {
			t.Errorf("%q: exit code %d, %s", bad, code, out)
		}
	}
}
