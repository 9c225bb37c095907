// Package policy reads what the API declares as package registration knows it:
// a RegistrationAuthority's policy, and the digests of what people ask for.
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

// Issuer is the CA that an RA asks, as the ledger names it.
func Issuer(ra *pkiv1.RegistrationAuthority) string {
	return KindBusinessCA + "/" + ra.Namespace + "/" + ra.Spec.BusinessCARef.Name
}

// RequiredApprovals is how many distinct people must approve a request for a profile.
func RequiredApprovals(ra *pkiv1.RegistrationAuthority, profile string) int {
	if ra.Spec.ApprovalPolicy == pkiv1.ApprovalNone {
		return 0
	}
	for _, a := range ra.Spec.Approvals {
		if a.Profile == profile {
			return int(a.Required)
		}
	}
	return 1
}

// NameRules reads the rules; an error begins with the index of the bad one.
func NameRules(rules []pkiv1.NameRule) ([]registration.NameRule, error) {
	texts := make([]registration.NameRuleText, len(rules))
	for i, r := range rules {
		texts[i] = registration.NameRuleText(r)
	}
	return registration.ParseNameRules(texts)
}
