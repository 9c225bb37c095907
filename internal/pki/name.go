package pki

import (
	"fmt"
	"strings"
)

// Bounds of a distinguished name.
const (
	MaxNameDER        = 2048 // bytes
	MaxNameText       = 4 * MaxNameDER
	MaxNameAttributes = 32
	MaxNameValue      = 256 // characters
)

// Name is a distinguished name (甄别名) whose RDNs have one attribute each.
// Multi-valued RDNs are refused: no profile makes them, and their order is a
// matter of opinion between implementations. The zero Name has no attributes.
type Name struct {
	der        []byte
	attributes []Attribute
}

// Attribute is one attribute of a name.
type Attribute struct {
	// Type is the short name, or the dotted OID where there is none.
	Type string
	// OID is dotted.
	OID string
	// Value is UTF-8.
	Value string
}

// NewName builds a name from attributes, most significant first. Type may be a
// short name in any case or a dotted OID; OID is ignored unless Type is empty.
func NewName(attributes ...Attribute) (Name, error) {
	if len(attributes) == 0 {
		return Name{}, nil
	}
	if len(attributes) > MaxNameAttributes {
		return Name{}, fmt.Errorf("distinguished name: has %d attributes, at most %d are allowed", len(attributes), MaxNameAttributes)
	}
	n := Name{attributes: make([]Attribute, len(attributes))}
	for i, a := range attributes {
		if a.Type == "" {
			a.Type = a.OID
		}
		t, err := lookupAttribute(a.Type)
		if err != nil {
			return Name{}, fmt.Errorf("distinguished name: %w", err)
		}
		if err := t.check(a.Value); err != nil {
			return Name{}, fmt.Errorf("distinguished name: %w", err)
		}
		n.attributes[i] = Attribute{Type: t.name, OID: t.oid, Value: a.Value}
	}
	der, err := marshalName(n.attributes)
	if err != nil {
		return Name{}, fmt.Errorf("distinguished name: %w", err)
	}
	if len(der) > MaxNameDER {
		return Name{}, fmt.Errorf("distinguished name: has %d bytes in DER, at most %d are allowed", len(der), MaxNameDER)
	}
	n.der = der
	return n, nil
}

// DER is the Name of RFC 5280 §4.1.2.4. A name that was parsed from DER keeps
// its bytes; otherwise C and SERIALNUMBER are PrintableString, E and DC
// IA5String, and everything else UTF8String.
func (n Name) DER() []byte {
	if len(n.der) == 0 {
		return []byte{0x30, 0x00}
	}
	return append([]byte(nil), n.der...)
}

// IsEmpty says whether the name has no attributes.
func (n Name) IsEmpty() bool { return len(n.attributes) == 0 }

// Attributes lists the attributes, most significant first.
func (n Name) Attributes() []Attribute { return append([]Attribute(nil), n.attributes...) }

// Value returns the value of the most specific attribute of a type (a short
// name or a dotted OID), and whether there is one.
func (n Name) Value(attributeType string) (string, bool) {
	t, err := lookupAttribute(attributeType)
	if err != nil {
		return "", false
	}
	for i := len(n.attributes) - 1; i >= 0; i-- {
		if n.attributes[i].OID == t.oid {
			return n.attributes[i].Value, true
		}
	}
	return "", false
}

// Within says whether the RDNs of base are the most significant ones of n, or
// all of them. They are compared as RFC 5280 §7.1 asks: whatever their string
// type, without case, and runs of spaces as one. Nothing is within an empty base.
func (n Name) Within(base Name) bool {
	if base.IsEmpty() || len(base.attributes) > len(n.attributes) {
		return false
	}
	for i, b := range base.attributes {
		if !b.matches(n.attributes[i]) {
			return false
		}
	}
	return true
}

// Equal says whether both names have the same RDNs in the same order, compared
// as Within does.
func (n Name) Equal(other Name) bool {
	if n.IsEmpty() || other.IsEmpty() {
		return n.IsEmpty() && other.IsEmpty()
	}
	return len(n.attributes) == len(other.attributes) && n.Within(other)
}

func (a Attribute) matches(b Attribute) bool {
	return a.OID == b.OID && strings.EqualFold(foldSpaces(a.Value), foldSpaces(b.Value))
}

func foldSpaces(s string) string { return strings.Join(strings.Fields(s), " ") }
