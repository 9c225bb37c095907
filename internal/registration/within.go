package registration

import (
	"errors"
	"fmt"
	"slices"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Within says whether a subject and all alternative names fall within rules. A
// common name that looks like a host must be one of the alternative names, which
// the rules judge; see hostNameIsAlternativeName. The
// error names the first that does not, without what may tell who somebody is.
func Within(rules []NameRule, subject pki.Name, names pki.SubjectAltNames) error {
	if !slices.ContainsFunc(rules, func(r NameRule) bool { return r.allowsSubject(subject) }) {
		return fmt.Errorf("subject %s: allowed are %s", belonging(subject), describe(rules, kindSubject))
	}
	d := alternativeNamesAreWithinRA(Application{Request: &pki.Request{SubjectAltNames: names}, Policy: Policy{AllowedNames: rules}})
	if d != "" {
		return errors.New(string(d))
	}
	for _, a := range subject.Attributes() {
		if a.Type == "CN" && looksLikeHost(a.Value) && !listed(names, a.Value) {
			return fmt.Errorf("subject CN %q: is a host name and not one of the alternative names; add it to them", shorten(a.Value, 128))
		}
	}
	return nil
}
