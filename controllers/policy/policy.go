// Package policy reads a RegistrationAuthority's spec as a registration.Policy.
package policy

import (
	"fmt"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/internal/registration"
)

// FromAuthority converts; an error names the field below spec.
func FromAuthority(ra *pkiv1.RegistrationAuthority) (registration.Policy, error) {
	rules, err := NameRules(ra.Spec.AllowedNames)
	if err != nil {
		return registration.Policy{}, fmt.Errorf("allowedNames%w", err)
	}
	return registration.Policy{Namespace: ra.Namespace, AllowedProfiles: ra.Spec.AllowedProfiles,
		AllowedNames: rules, AllowedNamespaces: ra.Spec.AllowedNamespaces}, nil
}

// NameRules reads the rules; an error begins with the index of the bad one.
func NameRules(rules []pkiv1.NameRule) ([]registration.NameRule, error) {
	texts := make([]registration.NameRuleText, len(rules))
	for i, r := range rules {
		texts[i] = registration.NameRuleText(r)
	}
	return registration.ParseNameRules(texts)
}
