package pki

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

var identityName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9]{0,62}$`)

// Validate says which field of the profile is wrong, by its name in
// CertificateProfile, and why. It refuses what
// no request could make good: usages of a CA or of both signing and encryption,
// repeated OIDs, and standard extensions given as identity extensions.
func (p Profile) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", field, fmt.Errorf(format, args...)))
	}
	if err := p.KeyUsage.Check(p.CA != nil); err != nil {
		bad("keyUsages", "%w", err)
	}
	if p.Validity < minValidity || p.Validity > maxValidity {
		bad("validity", "is %s, want %s to %s", p.Validity, minValidity, maxValidity)
	}
	if p.Backdate < 0 || p.Backdate > maxBackdate {
		bad("backdate", "is %s, want 0s to %s", p.Backdate, maxBackdate)
	}
	if p.CA != nil {
		if p.CA.PathLen < 0 || p.CA.PathLen > MaxPathLen {
			bad("ca.pathLen", "is %d, want 0 to %d", p.CA.PathLen, MaxPathLen)
		}
		if len(p.ExtKeyUsage)+len(p.SANTypes)+len(p.IdentityExtensions) > 0 || p.OCSPNoCheck {
			bad("ca", "a CA certificate has no extended key usages, alternative names, identity extensions or OCSP no-check")
		}
	}
	p.validateSubject(bad)
	p.validateExtKeyUsage(bad)
	p.validateIdentity(bad)
	if len(p.SANTypes) > 4 {
		bad("subjectAlternativeNames", "has %d kinds, at most 4 are allowed", len(p.SANTypes))
	}
	for i, t := range p.SANTypes {
		if !slices.Contains([]SANType{SANDNS, SANIP, SANEmail, SANURI}, t) || slices.Contains(p.SANTypes[:i], t) {
			bad(fmt.Sprintf("subjectAlternativeNames[%d]", i), "is %.16q, want DNS, IP, Email or URI, each once", t)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("profile %.64q: %w", p.Name, err)
	}
	return nil
}

type badFunc func(field, format string, args ...any)

func (p Profile) validateSubject(bad badFunc) {
	if len(p.Subject) > maxSubjectRules {
		bad("subject", "has %d rules, at most %d are allowed", len(p.Subject), maxSubjectRules)
		return
	}
	seen := map[string]bool{}
	for i, r := range p.Subject {
		field := fmt.Sprintf("subject[%d]", i)
		t, err := lookupAttribute(r.Type)
		if err != nil {
			bad(field+".type", "%w", err)
			continue
		}
		if seen[t.oid] {
			bad(field+".type", "%s is there twice", t.name)
		}
		seen[t.oid] = true
		if r.MaxLength < 0 || r.MaxLength > MaxNameValue {
			bad(field+".maxLength", "is %d, want 1 to %d", r.MaxLength, MaxNameValue)
		}
		switch r.Presence {
		case Required, Optional:
			if r.Value != "" {
				bad(field+".value", "is for Fixed attributes alone")
			}
		case Fixed:
			if err := t.check(r.Value); err != nil {
				bad(field+".value", "%w", err)
			} else if n := len([]rune(r.Value)); n > r.limit() {
				bad(field+".value", "has %d characters, its own maxLength is %d", n, r.limit())
			}
		default:
			bad(field+".presence", "is %.16q, want Required, Optional or Fixed", r.Presence)
		}
	}
}

func (p Profile) validateExtKeyUsage(bad badFunc) {
	if len(p.ExtKeyUsage) > maxExtKeyUsages {
		bad("extendedKeyUsages", "has %d usages, at most %d are allowed", len(p.ExtKeyUsage), maxExtKeyUsages)
		return
	}
	for i, oid := range p.ExtKeyUsage {
		field := fmt.Sprintf("extendedKeyUsages[%d]", i)
		if _, err := ParseOID(oid); err != nil {
			bad(field, "%w", err)
		}
		if slices.Contains(p.ExtKeyUsage[:i], oid) {
			bad(field, "%s is there twice", oid)
		}
	}
	if p.ExtKeyUsageCritical && len(p.ExtKeyUsage) == 0 {
		bad("extendedKeyUsageCriticality", "is set without extended key usages")
	}
	if slices.Contains(p.ExtKeyUsage, OIDExtKeyUsageOCSPSigning) && !p.OCSPNoCheck {
		bad("ocspNoCheck", "is absent although extendedKeyUsages has OCSPSigning (RFC 6960 §4.2.2.2.1)")
	}
	if slices.Contains(p.ExtKeyUsage, OIDExtKeyUsageTimeStamping) && (len(p.ExtKeyUsage) != 1 || !p.ExtKeyUsageCritical) {
		bad("extendedKeyUsages", "timeStamping must be critical and the only usage (RFC 3161 §2.3)")
	}
}

func (p Profile) validateIdentity(bad badFunc) {
	if len(p.IdentityExtensions) > maxIdentityExts {
		bad("identityExtensions", "has %d extensions, at most %d are allowed", len(p.IdentityExtensions), maxIdentityExts)
		return
	}
	names, oids := map[string]bool{}, map[string]bool{}
	for i, e := range p.IdentityExtensions {
		field := fmt.Sprintf("identityExtensions[%d]", i)
		if !identityName.MatchString(e.Name) {
			bad(field+".name", "is %.64q, want a letter and at most 62 letters and digits", e.Name)
		}
		if names[e.Name] {
			bad(field+".name", "%q is there twice", e.Name)
		}
		names[e.Name] = true
		if _, err := ParseOID(e.OID); err != nil {
			bad(field+".oid", "%w", err)
		}
		if isStandardExtension(e.OID) {
			bad(field+".oid", "%s is a standard extension, which the profile's other fields govern", e.OID)
		}
		if oids[e.OID] {
			bad(field+".oid", "%s is there twice", e.OID)
		}
		oids[e.OID] = true
		if _, err := lookupEncoding(e.Encoding); err != nil {
			bad(field+".encoding", "%w", err)
		}
		if e.Pattern != nil && (len(e.Pattern.String()) == 0 || len(e.Pattern.String()) > maxPatternLen) {
			bad(field+".pattern", "has %d bytes, want 1 to %d", len(e.Pattern.String()), maxPatternLen)
		}
	}
}

// CheckSubjectAltNames says whether the profile allows the names.
func (p Profile) CheckSubjectAltNames(s SubjectAltNames) error {
	for t := range s.kinds() {
		if !slices.Contains(p.SANTypes, t) {
			return fmt.Errorf("subject alternative names: the profile %q does not allow names of kind %s", p.Name, t)
		}
	}
	return s.Validate()
}

// CheckIdentity says whether the values, by the names of the profile's identity
// extensions, are allowed and complete. Values are not part of the error.
func (p Profile) CheckIdentity(values map[string]string) error {
	known := 0
	for _, e := range p.IdentityExtensions {
		v, ok := values[e.Name]
		if !ok {
			if e.Required {
				return fmt.Errorf("identity %s: is missing; the profile %q requires it", e.Name, p.Name)
			}
			continue
		}
		known++
		if err := e.Check(v); err != nil {
			return err
		}
	}
	if known != len(values) {
		for name := range values {
			if !slices.ContainsFunc(p.IdentityExtensions, func(e IdentityExtension) bool { return e.Name == name }) {
				return fmt.Errorf("identity %.64q: is not one of the profile %q", name, p.Name)
			}
		}
	}
	return nil
}
