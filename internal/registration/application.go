// Package registration judges applications for certificates (证书申请) by the
// policy of a registration authority (注册机构): named checks, each with its
// verdict. It also makes the digest by which a request is known for ever.
package registration

import (
	"slices"
	"strings"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Application is a request with all that is needed to judge it.
type Application struct {
	// Request as ParseRequest of internal/pki read it.
	Request *pki.Request
	// Namespace of the requester.
	Namespace string
	// Profile that ProfileName, the name in the request, stands for.
	Profile     pki.Profile
	ProfileName string
	// Identity are the values of identity extensions, by name, also those that
	// stood in a Secret. They are personal data and never part of a verdict.
	Identity map[string]string
	Policy   Policy
}

// Policy is what a registration authority allows.
type Policy struct {
	// Namespace of the RA: requests from it are always taken.
	Namespace string
	// AllowedProfiles are names of profiles.
	AllowedProfiles []string
	// AllowedNames: a name must be within one of these; without any, none is.
	AllowedNames []NameRule
	// AllowedNamespaces besides Namespace; "*" is every one.
	AllowedNamespaces []string
}

// Verdict is the result of one check.
type Verdict struct {
	// Check is its name, at most 63 bytes.
	Check  string
	Passed bool
	// Reason says why the check did not pass: the field, what was found, what
	// would be allowed; at most MaxReason bytes, without personal data.
	Reason string
}

// MaxReason is the longest reason of a verdict, in bytes.
const MaxReason = 512

// denial is why a check did not pass; empty when it did.
type denial string

type check struct {
	name  string
	judge func(Application) denial
}

type chain []check

// subscriberChecks are the policy for a subscriber's signing certificate (签名证书).
var subscriberChecks = chain{
	{"requestIsWellFormed", requestIsWellFormed},                 // GM/T 0092-2020: PKCS #10
	{"keyIsSM2", keyIsSM2},                                       // GB/T 20518: subjectPublicKeyInfo is SM2
	{"possessionIsProved", possessionIsProved},                   // GM/T 0092-2020: the request's own signature
	{"namespaceIsAllowed", namespaceIsAllowed},                   // whose requests the RA takes
	{"profileIsAllowed", profileIsAllowed},                       // what the RA may ask for
	{"profileIsForSubscribers", profileIsForSubscribers},         // a CA is never made by a request
	{"profileIsForSigning", profileIsForSigning},                 // GM/T 0015: the other key pair is made by the KMC
	{"subjectFitsProfile", subjectFitsProfile},                   // 证书模板
	{"subjectIsWithinRA", subjectIsWithinRA},                     // an RA may only request names that it owns
	{"alternativeNamesFitProfile", alternativeNamesFitProfile},   // 证书模板
	{"alternativeNamesAreWithinRA", alternativeNamesAreWithinRA}, // as for the subject
	{"hostNameIsAlternativeName", hostNameIsAlternativeName},     // or the subject would be a way around the rules of DNS names
	{"identityIsComplete", identityIsComplete},                   // GB/T 20518: identity extensions
}

// Evaluate runs every check and returns the verdicts in an order that never
// changes. A check that needs what an earlier one denied is denied too, and says
// so. Nothing here does I/O, so there is no error: what the controller could not
// fetch it must not ask about.
func Evaluate(a Application) []Verdict { return subscriberChecks.evaluate(a) }

func (c chain) evaluate(a Application) []Verdict {
	verdicts := make([]Verdict, len(c))
	for i, check := range c {
		d := check.judge(a)
		verdicts[i] = Verdict{Check: check.name, Passed: d == "", Reason: shorten(string(d), MaxReason)}
	}
	return verdicts
}

// Denied returns the verdicts that did not pass.
func Denied(verdicts []Verdict) []Verdict {
	return slices.DeleteFunc(slices.Clone(verdicts), func(v Verdict) bool { return v.Passed })
}

// Subject is the name that the certificate will have: the request's, as the
// profile completes and orders it.
func (a Application) Subject() (pki.Name, error) { return a.Profile.SubjectFor(a.Request.Subject) }

// shorten keeps at most n bytes of s, and whole characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "..."
}
