package lint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	oidCountry      = "2.5.4.6"
	oidCommonName   = "2.5.4.3"
	oidEmailAddress = "1.2.840.113549.1.9.1"
)

// attribute is one AttributeTypeAndValue; rdn counts from 0.
type attribute struct {
	rdn   int
	oid   string
	tag   cbasn1.Tag
	value []byte
}

// attributes takes a Name apart (RFC 5280 §4.1.2.4).
func attributes(der []byte) ([]attribute, error) {
	malformed := errors.New("is no Name")
	in := cryptobyte.String(der)
	var rdns cryptobyte.String
	if !in.ReadASN1(&rdns, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, malformed
	}
	var out []attribute
	for i := 0; !rdns.Empty(); i++ {
		var set cryptobyte.String
		if !rdns.ReadASN1(&set, cbasn1.SET) || set.Empty() {
			return nil, malformed
		}
		for !set.Empty() {
			a := attribute{rdn: i}
			var pair cryptobyte.String
			var ok bool
			if !set.ReadASN1(&pair, cbasn1.SEQUENCE) {
				return nil, malformed
			}
			if a.oid, ok = pki.ReadOID(&pair); !ok || !pair.ReadAnyASN1((*cryptobyte.String)(&a.value), &a.tag) || !pair.Empty() {
				return nil, malformed
			}
			out = append(out, a)
		}
	}
	return out, nil
}

// eachAttribute calls f for the attributes of issuer and subject. What is no
// Name is the business of name-form.
func (c *CertificateInput) eachAttribute(f func(a attribute) error) error {
	for _, n := range []struct {
		field string
		der   []byte
	}{{"issuer", c.IssuerDER}, {"subject", c.SubjectDER}} {
		list, err := attributes(n.der)
		if err != nil {
			continue
		}
		for _, a := range list {
			if err := f(a); err != nil {
				return fmt.Errorf("%s attribute %s: %w", n.field, a.oid, err)
			}
		}
	}
	return nil
}

// subjectCount is -1 when subject is no Name.
func (c *CertificateInput) subjectCount(oid string) int {
	list, err := attributes(c.SubjectDER)
	if err != nil {
		return -1
	}
	n := 0
	for _, a := range list {
		if a.oid == oid {
			n++
		}
	}
	return n
}

func nameRule(name string, severity Severity, source, demands string, f func(a attribute) error) rule[*CertificateInput] {
	return rule[*CertificateInput]{name, severity, kindsCertificate, source, demands,
		func(c *CertificateInput) error { return c.eachAttribute(f) }}
}

// upperBounds are in characters.
var upperBounds = map[string]int{
	oidCommonName: 64, "2.5.4.10": 64, "2.5.4.11": 64, "2.5.4.7": 128, "2.5.4.8": 128, "2.5.4.5": 64, "2.5.4.12": 64, oidEmailAddress: 255,
}

var nameRules = []rule[*CertificateInput]{
	{"name-form", SeverityError, kindsCertificate, "RFC 5280 §4.1.2.4, §4.1.2.6", "issuer and subject are Names", func(c *CertificateInput) error {
		_, err := attributes(c.IssuerDER)
		_, err2 := attributes(c.SubjectDER)
		return errors.Join(named("issuer", err), named("subject", err2))
	}},
	{"issuer-present", SeverityError, kindsCertificate, "RFC 5280 §4.1.2.4", "issuer is not empty", func(c *CertificateInput) error {
		if len(c.IssuerDER) <= 2 {
			return errors.New("issuer is empty")
		}
		return nil
	}},
	{"subject-not-issuer", SeverityError, kindsEndEntity, "RFC 5280 §6.1, §3.2", "the subject of an end entity is not its issuer", func(c *CertificateInput) error {
		if bytes.Equal(c.IssuerDER, c.SubjectDER) {
			return errors.New("issuer and subject are the same, as for a CA that certifies itself")
		}
		return nil
	}},
	{"name-rdn-single", SeverityNotice, kindsCertificate, "X.501 §9.3 (allowed; many clients compare such names wrongly)", "each RDN has one attribute", func(c *CertificateInput) error {
		for _, der := range [][]byte{c.IssuerDER, c.SubjectDER} {
			list, _ := attributes(der)
			for i := range list {
				if i > 0 && list[i].rdn == list[i-1].rdn {
					return fmt.Errorf("RDN %d has more than one attribute", list[i].rdn+1)
				}
			}
		}
		return nil
	}},
	nameRule("name-fixed-string-types", SeverityError, "RFC 5280 Appendix A.1", "C and serialNumber are PrintableString, e-mail and DC IA5String", func(a attribute) error {
		if want, ok := fixedStringTypes[a.oid]; ok && a.tag != want {
			return fmt.Errorf("has string type %d, want %d", a.tag, want)
		}
		return nil
	}),
	nameRule("name-directory-string", SeverityWarning, "RFC 5280 §4.1.2.4", "other attributes are UTF8String or PrintableString", func(a attribute) error {
		if _, fixed := fixedStringTypes[a.oid]; !fixed && a.tag != cbasn1.UTF8String && a.tag != cbasn1.PrintableString {
			return fmt.Errorf("has string type %d, want UTF8String or PrintableString", a.tag)
		}
		return nil
	}),
	nameRule("name-upper-bound", SeverityError, "RFC 5280 Appendix A.1 (ub-)", "values are within the bounds of X.520: 64 characters for CN, O, OU, 128 for L, ST", func(a attribute) error {
		if limit, ok := upperBounds[a.oid]; ok && a.characters() > limit {
			return fmt.Errorf("has %d characters, at most %d are allowed", a.characters(), limit)
		}
		return nil
	}),
	nameRule("name-value-present", SeverityError, "X.520 (SIZE 1..ub)", "no value is empty or blank", func(a attribute) error {
		if len(bytes.TrimSpace(a.value)) == 0 {
			return errors.New("is blank")
		}
		return nil
	}),
	nameRule("name-space-around", SeverityWarning, "RFC 5280 §7.1 (names that differ in spaces alone are equal)", "no value begins or ends with a space", func(a attribute) error {
		if t := bytes.TrimSpace(a.value); a.tag != bmpString && len(t) > 0 && len(t) != len(a.value) {
			return errors.New("begins or ends with a space")
		}
		return nil
	}),
	nameRule("name-control-characters", SeverityError, "RFC 5280 §8 (names that look alike)", "no value has control or bidirectional control characters", func(a attribute) error {
		if a.tag == cbasn1.UTF8String && bytes.ContainsFunc(a.value, func(r rune) bool {
			return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
		}) {
			return errors.New("has a control character")
		}
		return nil
	}),
	nameRule("name-country-letters", SeverityError, "X.520 (countryName), ISO 3166-1", "C is two letters", func(a attribute) error {
		if a.oid == oidCountry && (len(a.value) != 2 || !asciiLetter(a.value[0]) || !asciiLetter(a.value[1])) {
			return fmt.Errorf("is %.16q, want two letters", a.value)
		}
		return nil
	}),
	nameRule("name-country-upper-case", SeverityWarning, "ISO 3166-1, GB/T 20518 (secondary)", "C is in capitals, e.g. CN", func(a attribute) error {
		if a.oid == oidCountry && !bytes.Equal(a.value, bytes.ToUpper(a.value)) {
			return fmt.Errorf("is %.16q", a.value)
		}
		return nil
	}),
	nameRule("name-email-deprecated", SeverityNotice, "RFC 5280 §4.1.2.6", "a mailbox stands in subjectAltName, not in the name", func(a attribute) error {
		if a.oid == oidEmailAddress {
			return errors.New("is an e-mail address")
		}
		return nil
	}),
	nameRule("name-known-attributes", SeverityNotice, "RFC 5280 §4.1.2.4", "attributes are of types that clients know", func(a attribute) error {
		if !slices.Contains(knownAttributes, a.oid) {
			return errors.New("is of a type that few clients know")
		}
		return nil
	}),
	{"subject-country-present", SeverityNotice, kindsCertificate, "GB/T 20518 (secondary: names begin with C)", "subject has C", func(c *CertificateInput) error {
		if len(c.SubjectDER) > 2 && c.subjectCount(oidCountry) == 0 {
			return errors.New("subject has no C")
		}
		return nil
	}},
	{"subject-country-once", SeverityWarning, kindsCertificate, "X.521 (one country)", "subject has one C at most", func(c *CertificateInput) error { return c.subjectOnce(oidCountry) }},
	{"subject-common-name-present", SeverityNotice, kindsCertificate, "GB/T 20518 (secondary)", "subject has CN", func(c *CertificateInput) error {
		if len(c.SubjectDER) > 2 && c.subjectCount(oidCommonName) == 0 {
			return errors.New("subject has no CN")
		}
		return nil
	}},
	{"subject-common-name-once", SeverityWarning, kindsCertificate, "RFC 6125 §2.3 (clients read one)", "subject has one CN at most", func(c *CertificateInput) error { return c.subjectOnce(oidCommonName) }},
}

const bmpString = cbasn1.Tag(30)

var knownAttributes = []string{
	oidCountry, oidCommonName, oidEmailAddress, "2.5.4.4", "2.5.4.5", "2.5.4.7", "2.5.4.8", "2.5.4.9", "2.5.4.10", "2.5.4.11", "2.5.4.12",
	"2.5.4.42", "2.5.4.43", "2.5.4.44", "2.5.4.46", "2.5.4.65", "2.5.4.97", "0.9.2342.19200300.100.1.1", "0.9.2342.19200300.100.1.25",
}

func (c *CertificateInput) subjectOnce(oid string) error {
	if n := c.subjectCount(oid); n > 1 {
		return fmt.Errorf("subject has attribute %s %d times", oid, n)
	}
	return nil
}

func (a attribute) characters() int {
	switch a.tag {
	case cbasn1.UTF8String:
		return utf8.RuneCount(a.value)
	case bmpString:
		return len(a.value) / 2
	}
	return len(a.value)
}

func asciiLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }
