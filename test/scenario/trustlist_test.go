package scenario

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/test/interop"
)

// verifiedList is what terrace trustlist verify --json says.
type verifiedList struct {
	Valid          bool
	Error          string
	SequenceNumber int64
	Signer         struct{ Serial string }
	Entries        []struct{ Subject string }
}

func (l verifiedList) subjects() []string {
	var all []string
	for _, e := range l.Entries {
		all = append(all, e.Subject)
	}
	slices.Sort(all)
	return all
}

// trustList takes both forms as a relying party does, by HTTP and from the
// directory, has others verify them, and revokes a CA and the signer.
func trustList(t *testing.T, tr *terrace) {
	tr.mustKubectl("admin", "", "wait", "--for=condition=TrustListPublished", "--timeout=60s", "industryca/industry")
	var endpoints map[string]string
	b, err := os.ReadFile(filepath.Join(tr.state, "endpoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &endpoints); err != nil {
		t.Fatal(err)
	}
	fetch := func(form string) []byte { return get(t, endpoints["validation"]+"/ctl/industryca-industry-g1."+form) }
	lower := func(l verifiedList) bool { return slices.Contains(l.subjects(), "CN=lower,O=Ministry,C=CN") }
	first := awaitTrustList(t, tr, fetch, "with the CA below", lower)
	if slices.Contains(first.subjects(), "CN=outside,O=Ministry,C=CN") || len(first.Entries) != 5 {
		t.Errorf("list has %v, want root, industry, business, upper and lower", first.subjects())
	}
	for _, form := range []string{"ctl", "p7b"} {
		der := fetch(form)
		read, err := interop.BouncyTrustList(der)
		if err != nil || len(read.Subjects) != len(first.Entries) {
			t.Errorf("%s: BouncyCastle: %+v, %v", form, read, err)
		}
		for _, s := range servers {
			awaitTrustListEntry(t, tr, endpoints[s.endpoint], s.account, s.secret, form, der)
		}
	}
	act := func(name, target string) {
		tr.mustKubectl("admin", fmt.Sprintf(`apiVersion: pki.terrace.dev/v1alpha1
kind: CertificateRevocation
metadata: {name: %s, namespace: ministry}
spec: {target: {%s}, action: Revoke, reason: KeyCompromise}
`, name, target), "apply", "-f", "-")
		tr.mustKubectl("admin", "", "wait", "--for=condition=Performed", "--timeout=60s", "certificaterevocation/"+name)
	}
	act("upper-stolen", "certificateAuthorityRef: {name: upper}")
	second := awaitTrustList(t, tr, fetch, "without what stands below a revoked CA", func(l verifiedList) bool { return !lower(l) && len(l.Entries) == 3 })
	act("signer-stolen", "trustListSignerRef: {name: industry}")
	third := awaitTrustList(t, tr, fetch, "of another signer", func(l verifiedList) bool { return l.Signer.Serial != first.Signer.Serial })
	if second.SequenceNumber <= first.SequenceNumber || third.SequenceNumber <= second.SequenceNumber {
		t.Errorf("sequence numbers %d, %d, %d, want them to grow", first.SequenceNumber, second.SequenceNumber, third.SequenceNumber)
	}
	out, err := verifyList(t, tr, fetch("ctl"), "--seen", fmt.Sprint(third.SequenceNumber+1))
	if out.Valid || err == nil || !strings.Contains(out.Error, "older") {
		t.Errorf("a list older than seen: %+v, %v", out, err)
	}
}

// verifyList runs terrace trustlist verify against the national root.
func verifyList(t *testing.T, tr *terrace, der []byte, flags ...string) (verifiedList, error) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, tr.field("industryca/industry", ".spec.rootCertificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(tr.bin, "terrace"), append([]string{"trustlist", "verify", "-", "--json", "--root", root}, flags...)...)
	cmd.Stdin = bytes.NewReader(der)
	out, err := cmd.Output()
	var l verifiedList
	if jsonErr := json.Unmarshal(out, &l); jsonErr != nil {
		t.Fatalf("terrace trustlist verify: %v, %v: %s", err, jsonErr, out)
	}
	return l, err
}

// awaitTrustList waits until both forms are valid and as they should be.
func awaitTrustList(t *testing.T, tr *terrace, fetch func(form string) []byte, what string, ok func(verifiedList) bool) verifiedList {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		ctl, errC := verifyList(t, tr, fetch("ctl"))
		p7b, errP := verifyList(t, tr, fetch("p7b"))
		if errC == nil && errP == nil && ok(ctl) && ok(p7b) && ctl.SequenceNumber == p7b.SequenceNumber {
			return ctl
		}
		if time.Now().After(deadline) {
			t.Fatalf("no list %s: %+v, %v; %+v, %v", what, ctl, errC, p7b, errP)
		}
	}
}

// awaitTrustListEntry waits until a directory server has the list, as OpenLDAP's client reads it.
func awaitTrustListEntry(t *testing.T, tr *terrace, url, account, secret, form string, want []byte) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		cmd := exec.Command("ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", "-H", url, "-D", "cn="+account+",cn=accounts", "-y", filepath.Join(tr.state, "secrets", secret),
			"-s", "base", "-b", "cn=trustlist."+form+",ou=industryca-industry-g1,ou=certificates,o=Ministry,c=CN", "userSMIMECertificate")
		cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+filepath.Join(tr.state, "transport", "ldap-master", "ca.crt"))
		out, _ := cmd.CombinedOutput() // what it says is in the failure below
		got = string(out)
		if _, value, found := strings.Cut(got, "userSMIMECertificate:: "); found {
			value, _, _ = strings.Cut(value, "\n")
			if der, err := base64.StdEncoding.DecodeString(value); err == nil && bytes.Equal(der, want) {
				return
			}
		}
	}
	t.Errorf("%s: no trustlist.%s of %d bytes: %.300s", url, form, len(want), got)
}
