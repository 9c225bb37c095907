package registration

import (
	"errors"
	"fmt"
	"slices"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Within says whether a subject and all alternative names fall within rules. The
// error names the first that does not, without what may tell who somebody is.
func Within(rules []NameRule, subject pki.Name, names pki.SubjectAltNames) error {
	if !slices.ContainsFunc(rules, func(r NameRule) bool { return r.allowsSubject(subject) }) {
		return fmt.Errorf("subject %s: allowed are %s", belonging(subject), describe(rules, kindSubject))
	}
	d := alternativeNamesAreWithinRA(Application{Request: &pki.Request{SubjectAltNames: names}, Policy: Policy{AllowedNames: rules}})
	if d != "" {
		return errors.New(string(d))
	}
	return nil
}
