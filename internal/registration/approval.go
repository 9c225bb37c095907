package registration

import (
	"encoding/hex"
	"strings"

	"github.com/emmansun/gmsm/sm3"
)

// Tally is where a request stands with the people who decide about it.
type Tally struct {
	// Given counts the distinct people who approved, the applicant never among them.
	Given int
	// Denied: one person denied, which ends the request.
	Denied bool
}

// Count counts the decisions about a request that applicant asked for. The Store
// keeps the rules already; they are kept here too, for this is what a
// certificate hangs on.
func Count(applicant string, decisions []Approval) Tally {
	var t Tally
	seen := map[string]bool{applicant: true}
	for _, d := range decisions {
		if d.Decision == Deny {
			t.Denied = true
		}
		if d.Decision == Approve && !seen[d.Approver] {
			seen[d.Approver] = true
			t.Given++
		}
	}
	return t
}

// Required is how many people must approve what applicant asked for, where the
// RA asks for the given number. A person may stand behind a program, or behind
// Git, that asks: one approval could then be the applicant's own, so that a
// program's request needs two.
func Required(asked int, applicant string) int {
	const forPrograms = 2
	if asked > 0 && IsServiceAccount(applicant) {
		return max(asked, forPrograms)
	}
	return asked
}

// serviceAccountPrefix begins the user names of programs in a Kubernetes API.
const serviceAccountPrefix = "system:serviceaccount:"

// IsServiceAccount says whether a user is a program: none may approve.
func IsServiceAccount(user string) bool { return strings.HasPrefix(user, serviceAccountPrefix) }

// ApprovalName is the name of the object by which a person decides about a
// target: a function of both, so that asking twice makes one object. It is a
// DNS subdomain name of at most 253 bytes when the target's name is one.
func ApprovalName(t Target, approver string) string {
	var e encoder
	for _, s := range []string{t.Kind, t.Namespace, t.Name, string(t.Digest[:]), approver} {
		e.field(s)
	}
	sum := sm3.Sum(e)
	const maxName = 200
	return strings.TrimRight(t.Name[:min(len(t.Name), maxName)], ".-") + "-" + hex.EncodeToString(sum[:8])
}
