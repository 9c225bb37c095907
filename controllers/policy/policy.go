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
	out := make([]registration.NameRule, len(rules))
	for i, r := range rules {
		var err error
		out[i], err = registration.ParseNameRule(registration.NameRuleText{SubjectBase: r.SubjectBase, DNSSuffix: r.DNSSuffix,
			IPRange: r.IPRange, EmailDomain: r.EmailDomain, URIPrefix: r.URIPrefix})
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return out, nil
}
