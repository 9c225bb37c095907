package scenario

import (
	"fmt"
	"strings"
	"testing"
)

// fourEyes has two people approve, and others fail to.
func fourEyes(t *testing.T, tr *terrace, yaml string) {
	tr.mustKubectl("applicant", "", "wait", `--for=jsonpath={.status.approvals}=0/2`, "--timeout=60s", "certificaterequest/first")
	if out, err := tr.plugin("applicant", "approve", "first"); err == nil {
		t.Errorf("the applicant approved: %s", out)
	}
	if out, err := tr.plugin("revoker", "approve", "first"); err == nil {
		t.Errorf("a revoker approved: %s", out)
	}
	tr.approve("first", "reviewer-1", "reviewer-1") // twice is once
	tr.mustKubectl("applicant", "", "wait", `--for=jsonpath={.status.approvals}=1/2`, "--timeout=60s", "certificaterequest/first")
	out, err := tr.plugin("reviewer-2", "explain", "certificaterequest", "first")
	if err != nil || !strings.Contains(out, "AwaitingApproval") || !strings.Contains(out, "ministry/ra") {
		t.Errorf("explain: %v\n%s", err, out)
	}
	tr.approve("first", "reviewer-2")
	tr.mustKubectl("applicant", "", "wait", "--for=condition=Ready", "--timeout=60s", "certificaterequest/first")

	tr.mustKubectl("applicant", strings.Replace(yaml, "name: first", "name: unwanted", 1), "apply", "-f", "-")
	tr.mustKubectl("applicant", "", "wait", `--for=jsonpath={.status.approvals}=0/2`, "--timeout=60s", "certificaterequest/unwanted")
	if out, err := tr.plugin("reviewer-1", "deny", "unwanted", "--comment", "not a member of staff"); err != nil {
		t.Fatalf("deny: %v\n%s", err, out)
	}
	tr.mustKubectl("applicant", "", "wait", "--for=condition=Stalled", "--timeout=60s", "certificaterequest/unwanted")
	if out, err := tr.plugin("reviewer-2", "approve", "unwanted"); err == nil {
		t.Errorf("a denied request was approved: %s", out)
	}
}

// tierIsWell: kubectl get tiers answers in one line.
func tierIsWell(t *testing.T, tr *terrace) {
	if out := tr.mustKubectl("admin", "", "get", "tiers"); !strings.Contains(out, "members are Ready") {
		t.Errorf("kubectl get tiers:\n%s", out)
	}
	if out, err := tr.plugin("admin", "tree"); err != nil || !strings.Contains(out, "BusinessCA  business  Ready") {
		t.Errorf("tree: %v\n%s", err, out)
	}
}

// revocation is a CertificateRevocation of a request's certificate.
func revocation(name, request, action, reason, publish string) string {
	yaml := fmt.Sprintf(`apiVersion: pki.terrace.dev/v1alpha1
kind: CertificateRevocation
metadata: {name: %s, namespace: ministry}
spec:
  target: {requestRef: {name: %s}}
  registrationAuthorityRef: {name: ra}
  action: %s
  publish: %s
`, name, request, action, publish)
	if reason != "" {
		yaml += "  reason: " + reason + "\n"
	}
	return yaml
}

func holdAndRelease(t *testing.T, tr *terrace) {
	tr.mustKubectl("revoker", revocation("hold", "first", "Hold", "", "Scheduled"), "apply", "-f", "-")
	tr.mustKubectl("revoker", "", "wait", "--for=condition=Ready", "--timeout=60s", "certificaterevocation/hold")
	verifyOCSP(t, tr, "revoked")
	outOfDirectory(t, tr, "first")
	tr.mustKubectl("revoker", revocation("release", "first", "Release", "", "Scheduled"), "apply", "-f", "-")
	tr.mustKubectl("revoker", "", "wait", "--for=condition=Ready", "--timeout=60s", "certificaterevocation/release")
	verifyOCSP(t, tr, "good")
	inDirectory(t, tr, "first")
	tr.mustKubectl("revoker", revocation("release-again", "first", "Release", "", "Scheduled"), "apply", "-f", "-")
	tr.mustKubectl("revoker", "", "wait", "--for=condition=Stalled", "--timeout=60s", "certificaterevocation/release-again")
}

// pruneAndCreate deletes what Git would prune, and applies it again.
func pruneAndCreate(t *testing.T, tr *terrace, yaml string) {
	before := snapshot(tr)
	tr.mustKubectl("admin", "", "delete", "certificaterequest/first", "certificaterevocation/lost-key", "certificaterevocation/hold")
	tr.mustKubectl("admin", "", "delete", "approvals", "--all")
	tr.mustKubectl("applicant", yaml, "apply", "-f", "-")
	tr.mustKubectl("applicant", "", "wait", "--for=condition=Ready", "--timeout=60s", "certificaterequest/first")
	tr.compare(before)
	adoptedRevocations(t, tr)
	if out, err := tr.kubectl("revoker", revocation("hold", "first", "Release", "", "Scheduled"), "apply", "-f", "-"); err == nil || !strings.Contains(out, "immutable") {
		t.Errorf("a changed act: %v: %s, want a refusal that says immutable", err, out)
	}
}

// adoptedRevocations applies the acts again: what was recorded is shown, and
// nothing happens to the certificate, which stays revoked.
func adoptedRevocations(t *testing.T, tr *terrace) {
	t.Helper()
	for name, yaml := range map[string]string{"hold": revocation("hold", "first", "Hold", "", "Scheduled"),
		"lost-key": revocation("lost-key", "first", "Revoke", "KeyCompromise", "Immediate"), "release": revocation("release", "first", "Release", "", "Scheduled")} {
		tr.mustKubectl("revoker", yaml, "apply", "-f", "-")
		tr.mustKubectl("revoker", "", "wait", "--for=condition=Ready", "--timeout=60s", "certificaterevocation/"+name)
	}
	if reason := tr.text("certificaterevocation/hold", `.status.conditions[?(@.type=="Performed")].reason`); reason != "Adopted" {
		t.Errorf("Performed of hold has reason %q, want Adopted", reason)
	}
	verifyOCSP(t, tr, "revoked")
}

// protected: admission says who uses what is to be deleted.
func protected(t *testing.T, tr *terrace) {
	for what, user := range map[string]string{"businessca/business": "RegistrationAuthority", "cryptodevice/hsm": "IndustryCA", "secret/hsm-pin": "CryptoDevice",
		"certificateprofile/person": "RegistrationAuthority", "directory/directory": "BusinessCA", "validationservice/validation": "BusinessCA",
		"tier/ministry": "BusinessCA", "namespace/ministry": "ministry"} {
		if out, err := tr.kubectl("admin", "", "delete", what, "--wait=false"); err == nil || !strings.Contains(out, user) {
			t.Errorf("delete %s: %v: %s, want a refusal that names %s", what, err, out, user)
		}
	}
}
