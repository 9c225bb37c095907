package pki

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// Presence says whether a subject attribute must be there.
type Presence string

// Presences.
const (
	Required Presence = "Required"
	Optional Presence = "Optional"
	Fixed    Presence = "Fixed"
)

// SubjectRule is the rule of one attribute of the subject.
type SubjectRule struct {
	// Type is a short name or a dotted OID.
	Type     string
	Presence Presence
	// Value of a Fixed attribute.
	Value string
	// MaxLength in characters, 1 to MaxNameValue; zero means 64.
	MaxLength int
}

// CAConstraints make a profile one of a CA.
type CAConstraints struct {
	// PathLen is pathLenConstraint (RFC 5280 §4.2.1.9), 0 to MaxPathLen.
	PathLen int
}

// Bounds of a profile.
const (
	MaxPathLen          = 8
	maxSubjectRules     = 16
	maxExtKeyUsages     = 8
	maxIdentityExts     = 16
	maxPatternLen       = 256
	minValidity         = time.Hour
	maxValidity         = 262800 * time.Hour // 30 years
	maxBackdate         = 48 * time.Hour
	defaultSubjectValue = 64
)

// Profile says what a certificate of a sort contains (证书模板).
type Profile struct {
	// Name is for messages.
	Name string
	// Subject lists the attributes, most significant first. Empty: any subject,
	// which only the built-in profiles use.
	Subject []SubjectRule
	// KeyUsage is always critical.
	KeyUsage KeyUsage
	// ExtKeyUsage are dotted OIDs.
	ExtKeyUsage         []string
	ExtKeyUsageCritical bool
	// Validity runs from now; notAfter is never beyond the issuer's.
	Validity time.Duration
	// Backdate moves notBefore into the past.
	Backdate time.Duration
	// SANTypes are the kinds of names that a certificate may have.
	SANTypes           []SANType
	IdentityExtensions []IdentityExtension
	// OCSPNoCheck adds id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1).
	OCSPNoCheck bool
	// CA is nil for a subscriber's certificate.
	CA *CAConstraints
}

// CAProfile is the built-in profile of a CA: keyCertSign and cRLSign and
// nothing else (RFC 5280 §4.2.1.3, §4.2.1.9).
func CAProfile(pathLen int, validity, backdate time.Duration) Profile {
	return Profile{
		Name: "ca", KeyUsage: KeyUsagesCA,
		Validity: validity, Backdate: backdate,
		CA: &CAConstraints{PathLen: pathLen},
	}
}

// ResponderProfile is the built-in profile of an OCSP signer (RFC 6960
// §4.2.2.2). Its certificate lives shortly because nobody checks its revocation.
func ResponderProfile(validity time.Duration) Profile {
	return Profile{
		Name: "ocsp-responder", KeyUsage: KeyUsageDigitalSignature,
		ExtKeyUsage: []string{OIDExtKeyUsageOCSPSigning}, OCSPNoCheck: true,
		Validity: validity, Backdate: 5 * time.Minute,
	}
}

// TrustListSignerProfile is the built-in profile of who signs trust lists and
// nothing else.
func TrustListSignerProfile(validity time.Duration) Profile {
	return Profile{
		Name: "trust-list-signer", KeyUsage: KeyUsageDigitalSignature,
		ExtKeyUsage: []string{OIDExtKeyUsageTrustListSigning},
		Validity:    validity, Backdate: 5 * time.Minute,
	}
}

// SubjectFor applies the subject rules: Fixed values are put in, or must be
// what the name says; Required ones must be there; attributes that no rule
// names are refused, and so is a repeated one. The result is encoded afresh, in
// the order of the profile. Without rules the name comes back as it is.
func (p Profile) SubjectFor(n Name) (Name, error) {
	if len(p.Subject) == 0 {
		return n, nil
	}
	fail := func(format string, args ...any) (Name, error) {
		return Name{}, fmt.Errorf("subject for profile %q: %w", p.Name, fmt.Errorf(format, args...))
	}
	for i, a := range n.attributes {
		if indexAttribute(n.attributes[:i], a.OID) >= 0 {
			return fail("attribute %s: is there twice", a.Type)
		}
	}
	var used [MaxNameAttributes]bool // no Name has more
	out := make([]Attribute, 0, len(p.Subject))
	for _, rule := range p.Subject {
		t, err := lookupAttribute(rule.Type)
		if err != nil {
			return fail("%w", err)
		}
		var a Attribute
		at := indexAttribute(n.attributes, t.oid)
		ok := at >= 0 && !used[at]
		if ok {
			a, used[at] = n.attributes[at], true
		}
		switch {
		case rule.Presence == Fixed && !ok:
			a = Attribute{Type: t.name, Value: rule.Value}
		case rule.Presence == Fixed && a.Value != rule.Value:
			return fail("attribute %s: is %.64q, the profile fixes it to %q", t.name, a.Value, rule.Value)
		case rule.Presence == Optional && !ok:
			continue
		case !ok:
			return fail("attribute %s: is missing; the profile requires it", t.name)
		}
		if got, limit := utf8.RuneCountInString(a.Value), rule.limit(); got > limit {
			return fail("attribute %s: has %d characters, the profile allows %d", t.name, got, limit)
		}
		out = append(out, a)
	}
	for i, a := range n.attributes {
		if !used[i] {
			return fail("attribute %s: is not one of the profile", a.Type)
		}
	}
	name, err := NewName(out...)
	if err != nil {
		return fail("%w", err)
	}
	return name, nil
}

// indexAttribute is where the attribute of an OID stands, or -1.
func indexAttribute(attributes []Attribute, oid string) int {
	return slices.IndexFunc(attributes, func(a Attribute) bool { return a.OID == oid })
}

func (r SubjectRule) limit() int {
	if r.MaxLength == 0 {
		return defaultSubjectValue
	}
	return r.MaxLength
}
