package registration

import (
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	approve := func(who string) Approval { return Approval{Approver: who, Decision: Approve} }
	for name, tc := range map[string]struct {
		decisions []Approval
		want      Tally
	}{
		"nobody":              {nil, Tally{}},
		"two people":          {[]Approval{approve("li"), approve("wang")}, Tally{Given: 2}},
		"one person twice":    {[]Approval{approve("li"), approve("li")}, Tally{Given: 1}},
		"the applicant":       {[]Approval{approve("zhang"), approve("li")}, Tally{Given: 1}},
		"one denies":          {[]Approval{approve("li"), {Approver: "wang", Decision: Deny}}, Tally{Given: 1, Denied: true}},
		"one denies at first": {[]Approval{{Approver: "wang", Decision: Deny}, approve("li"), approve("sun")}, Tally{Given: 2, Denied: true}},
		"an unknown decision": {[]Approval{{Approver: "li", Decision: "approve"}}, Tally{}},
	} {
		if got := Count("zhang", tc.decisions); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestRequired(t *testing.T) {
	const robot = "system:serviceaccount:flux-system:flux"
	for _, tc := range []struct {
		asked     int
		applicant string
		want      int
	}{{0, "zhang", 0}, {1, "zhang", 1}, {5, "zhang", 5}, {0, robot, 0}, {1, robot, 2}, {2, robot, 2}, {5, robot, 5}} {
		if got := Required(tc.asked, tc.applicant); got != tc.want {
			t.Errorf("%d asked, applicant %s: got %d, want %d", tc.asked, tc.applicant, got, tc.want)
		}
	}
}

func TestIsServiceAccount(t *testing.T) {
	for user, want := range map[string]bool{"system:serviceaccount:flux-system:flux": true, "system:serviceaccount": false, "li": false, "": false, "system:admin": false} {
		if got := IsServiceAccount(user); got != want {
			t.Errorf("%q: got %t, want %t", user, got, want)
		}
	}
}

func TestApprovalName(t *testing.T) {
	target := Target{Kind: "CertificateRequest", Namespace: "ministry", Name: "first", Digest: digest()}
	name := ApprovalName(target, "li")
	if want := "first-40fe8ae5c352346b"; name != want {
		t.Errorf("got %s, want %s: a retry would make a second object", name, want)
	}
	other := target
	other.Digest[0] ^= 1
	elsewhere := target
	elsewhere.Namespace = "province"
	for what, n := range map[string]string{"person": ApprovalName(target, "wang"), "content": ApprovalName(other, "li"), "namespace": ApprovalName(elsewhere, "li")} {
		if n == name {
			t.Errorf("another %s has the same name", what)
		}
	}
	target.Name = strings.Repeat("a", 199) + "." + strings.Repeat("b", 53)
	if name := ApprovalName(target, "li"); len(name) > 253 || strings.Contains(name, ".-") {
		t.Errorf("name %q of %d bytes is no DNS name", name, len(name))
	}
}
