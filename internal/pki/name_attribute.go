package pki

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Tags of strings that x/crypto does not name.
const (
	tagPrintableString = cbasn1.PrintableString
	tagIA5String       = cbasn1.IA5String
	tagUTF8String      = cbasn1.UTF8String
	tagBMPString       = cbasn1.Tag(30)
)

type attributeType struct {
	name string
	oid  string
	tag  cbasn1.Tag
}

// attributeTypes are the short names of RFC 4519, RFC 4514 §3 and, for E,
// PKCS #9; string types are those of RFC 5280 Appendix A.
var attributeTypes = []attributeType{
	{"C", "2.5.4.6", tagPrintableString},
	{"ST", "2.5.4.8", tagUTF8String},
	{"L", "2.5.4.7", tagUTF8String},
	{"O", "2.5.4.10", tagUTF8String},
	{"OU", "2.5.4.11", tagUTF8String},
	{"CN", "2.5.4.3", tagUTF8String},
	{"SERIALNUMBER", "2.5.4.5", tagPrintableString},
	{"UID", "0.9.2342.19200300.100.1.1", tagUTF8String},
	{"DC", "0.9.2342.19200300.100.1.25", tagIA5String},
	{"STREET", "2.5.4.9", tagUTF8String},
	{"T", "2.5.4.12", tagUTF8String},
	{"GN", "2.5.4.42", tagUTF8String},
	{"SN", "2.5.4.4", tagUTF8String},
	{"E", "1.2.840.113549.1.9.1", tagIA5String},
}

func lookupAttribute(s string) (attributeType, error) {
	for _, t := range attributeTypes {
		if t.oid == s || t.name == s {
			return t, nil
		}
	}
	for _, t := range attributeTypes {
		if strings.EqualFold(t.name, s) {
			return t, nil
		}
	}
	if s == "" || s[0] < '0' || s[0] > '9' {
		return attributeType{}, fmt.Errorf("attribute type %.64q: is unknown; use C, ST, L, O, OU, CN, SERIALNUMBER, UID, DC, STREET, T, GN, SN, E or a dotted object identifier", s)
	}
	if _, err := ParseOID(s); err != nil {
		return attributeType{}, fmt.Errorf("attribute type: %w", err)
	}
	return attributeType{name: s, oid: s, tag: tagUTF8String}, nil
}

// CheckAttributeType says whether s is a short name or dotted OID that a name may hold.
func CheckAttributeType(s string) error {
	_, err := lookupAttribute(s)
	return err
}

func (t attributeType) check(v string) error {
	if err := checkText(v, MaxNameValue); err != nil {
		return fmt.Errorf("attribute %s: %w", t.name, err)
	}
	switch t.tag {
	case tagPrintableString:
		if !isPrintable(v) {
			return fmt.Errorf("attribute %s: has a character outside PrintableString (letters, digits, space and '()+,-./:=?)", t.name)
		}
	case tagIA5String:
		if !isASCII(v) {
			return fmt.Errorf("attribute %s: has a character outside ASCII", t.name)
		}
	}
	if t.name == "C" && (len(v) != 2 || !isLetter(v[0]) || !isLetter(v[1])) {
		return fmt.Errorf("attribute C: value %.64q: want the two letters of ISO 3166, e.g. CN", v)
	}
	return nil
}

// checkText refuses what could make a name look like another one, or break a
// log line or a directory entry.
func checkText(v string, limit int) error {
	if isPlainText(v, limit) {
		return nil
	}
	return fullyCheckText(v, limit)
}

func fullyCheckText(v string, limit int) error {
	if !utf8.ValidString(v) {
		return fmt.Errorf("value is not valid UTF-8")
	}
	if strings.TrimSpace(v) == "" {
		return fmt.Errorf("value is blank")
	}
	if n := utf8.RuneCountInString(v); n > limit {
		return fmt.Errorf("value has %d characters, at most %d are allowed", n, limit)
	}
	for _, r := range v {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return fmt.Errorf("has the control character %U", r)
		case unicode.Is(unicode.Bidi_Control, r):
			return fmt.Errorf("has the bidirectional control character %U", r)
		}
	}
	return nil
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isPrintable(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && (c < '0' || c > '9') && !strings.ContainsRune(" '()+,-./:=?", rune(c)) {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func marshalName(attributes []Attribute) ([]byte, error) {
	e := NewEncoder(64 * (1 + len(attributes)))
	e.Nest(cbasn1.SEQUENCE, func() {
		for _, a := range attributes {
			t, err := lookupAttribute(a.OID)
			if err != nil {
				e.Fail(err)
				return
			}
			e.Nest(cbasn1.SET, func() {
				e.Nest(cbasn1.SEQUENCE, func() {
					e.OID(t.oid)
					e.Text(t.tag, a.Value)
				})
			})
		}
	})
	return e.Bytes()
}
