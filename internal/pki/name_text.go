package pki

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// ParseName reads the text form of RFC 4514, most specific attribute first:
// "CN=张三,O=Ministry,C=CN". Types are the short names C, ST, L, O, OU, CN,
// SERIALNUMBER, UID, DC, STREET, T, GN, SN and E in any case, or dotted OIDs.
//
// Multi-valued RDNs ("+"), values in hexadecimal ("#..."), quoted values and
// empty names are refused, and so are control characters, bidirectional
// controls, more than MaxNameAttributes attributes, values of more than
// MaxNameValue characters and names of more than MaxNameDER bytes.
func ParseName(s string) (Name, error) {
	if len(s) > MaxNameText {
		return Name{}, fmt.Errorf("distinguished name: has %d bytes, at most %d are allowed", len(s), MaxNameText)
	}
	if !utf8.ValidString(s) {
		return Name{}, errors.New("distinguished name: is not valid UTF-8")
	}
	var attributes []Attribute
	for rest := s; ; rest = rest[1:] {
		typ, after, ok := strings.Cut(rest, "=")
		if !ok {
			return Name{}, fmt.Errorf("distinguished name: attribute %d: no \"=\" in %.64q; write it like CN=...,O=...,C=CN", len(attributes)+1, rest)
		}
		if len(attributes) == MaxNameAttributes {
			return Name{}, fmt.Errorf("distinguished name: has more than %d attributes", MaxNameAttributes)
		}
		value, n, err := readValue(after)
		if err != nil {
			return Name{}, fmt.Errorf("distinguished name: attribute %d: %w", len(attributes)+1, err)
		}
		attributes = append(attributes, Attribute{Type: strings.Trim(typ, " "), Value: value})
		if rest = after[n:]; rest == "" {
			break
		}
	}
	slices.Reverse(attributes)
	// An empty type is an error here, not a reason to look at OID.
	for _, a := range attributes {
		if err := CheckAttributeType(a.Type); err != nil {
			return Name{}, fmt.Errorf("distinguished name: %w", err)
		}
	}
	return NewName(attributes...)
}

// readValue reads up to an unescaped comma or the end and says how many bytes
// of s that took. Spaces at either end count only when escaped.
func readValue(s string) (value string, n int, err error) {
	var out []byte
	keep := 0
	for n < len(s) && s[n] != ',' {
		c := s[n]
		switch {
		case c == '\\':
			b, width, err := UnescapeNameByte(s[n+1:])
			if err != nil {
				return "", 0, err
			}
			out = append(out, b)
			keep = len(out)
			n += 1 + width
			continue
		case c == '+':
			return "", 0, errors.New(`multi-valued RDNs are not supported; write "\+" for a plus sign in a value`)
		case c == '#' && len(out) == 0:
			return "", 0, errors.New(`values in hexadecimal are not supported; write "\#" for a number sign at the start of a value`)
		case strings.IndexByte(`";<>`, c) >= 0:
			return "", 0, fmt.Errorf(`write "\%c" for %q in a value`, c, c)
		case c == ' ' && len(out) == 0: // leading
		default:
			out = append(out, c)
			if c != ' ' {
				keep = len(out)
			}
		}
		n++
	}
	return string(out[:keep]), n, nil
}

// UnescapeNameByte reads what stands behind a backslash in a distinguished name
// (RFC 4514 §3): the byte, and how many bytes of s write it.
func UnescapeNameByte(s string) (b byte, width int, err error) {
	if s != "" && strings.IndexByte(` "#+,;<=>\`, s[0]) >= 0 {
		return s[0], 1, nil
	}
	if len(s) >= 2 {
		if v, err := hex.DecodeString(s[:2]); err == nil {
			return v[0], 2, nil
		}
	}
	return 0, 0, errors.New(`a backslash must be followed by a special character or two hexadecimal digits`)
}

// String is the text form of RFC 4514, most specific attribute first, that
// ParseName reads.
func (n Name) String() string {
	var b strings.Builder
	for i := len(n.attributes) - 1; i >= 0; i-- {
		a := n.attributes[i]
		b.WriteString(a.Type)
		b.WriteByte('=')
		for j := range len(a.Value) {
			c := a.Value[j]
			first, last := j == 0, j == len(a.Value)-1
			if strings.IndexByte(`",+;<>\`, c) >= 0 || (first && c == '#') || ((first || last) && c == ' ') {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
		if i > 0 {
			b.WriteByte(',')
		}
	}
	return b.String()
}
