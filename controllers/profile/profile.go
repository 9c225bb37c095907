// Package profile reads a CertificateProfile's spec as a pki.Profile.
package profile

import (
	"fmt"
	"regexp"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/internal/pki"
)

// FromSpec converts and validates. An error names the field below spec.
func FromSpec(name string, s pkiv1.CertificateProfileSpec) (pki.Profile, error) {
	p := pki.Profile{
		Name: name, ExtKeyUsage: s.ExtendedKeyUsages, ExtKeyUsageCritical: s.ExtendedKeyUsageCriticality == pkiv1.Critical,
		Validity: s.Validity.Duration, Backdate: s.Backdate.Duration, OCSPNoCheck: s.OCSPNoCheck == pkiv1.Present,
	}
	for _, r := range s.Subject {
		p.Subject = append(p.Subject, pki.SubjectRule{Type: r.Type, Presence: presence(r.Presence), Value: r.Value, MaxLength: int(r.MaxLength)})
	}
	usages := make([]string, len(s.KeyUsages))
	for i, u := range s.KeyUsages {
		usages[i] = string(u)
	}
	var err error
	if p.KeyUsage, err = pki.ParseKeyUsage(usages...); err != nil {
		return pki.Profile{}, fmt.Errorf("keyUsages: %w", err)
	}
	for _, t := range s.SubjectAlternativeNames {
		p.SANTypes = append(p.SANTypes, pki.SANType(t))
	}
	for i, e := range s.IdentityExtensions {
		ext := pki.IdentityExtension{Name: e.Name, OID: e.OID, Encoding: string(e.Encoding), Required: e.Presence == pkiv1.AttributeRequired}
		if e.Pattern != "" {
			if ext.Pattern, err = regexp.Compile(e.Pattern); err != nil {
				return pki.Profile{}, fmt.Errorf("identityExtensions[%d].pattern: %w", i, err)
			}
		}
		p.IdentityExtensions = append(p.IdentityExtensions, ext)
	}
	if err := p.Validate(); err != nil {
		return pki.Profile{}, err
	}
	return p, nil
}

func presence(p pkiv1.AttributePresence) pki.Presence {
	if p == "" {
		return pki.Required // the API's default
	}
	return pki.Presence(p)
}
