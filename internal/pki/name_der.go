package pki

import (
	"errors"
	"fmt"
	"unicode/utf16"

	encasn1 "encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ParseNameDER reads the Name of RFC 5280 §4.1.2.4 within the bounds of
// ParseName and keeps its bytes. Values are PrintableString, UTF8String,
// IA5String or BMPString. An empty sequence gives an empty Name.
func ParseNameDER(der []byte) (Name, error) {
	n, err := parseNameDER(der)
	if err != nil {
		return Name{}, fmt.Errorf("distinguished name in DER: %w", err)
	}
	return n, nil
}

func parseNameDER(der []byte) (Name, error) {
	if len(der) > MaxNameDER {
		return Name{}, fmt.Errorf("has %d bytes, at most %d are allowed", len(der), MaxNameDER)
	}
	in := cryptobyte.String(der)
	var rdns cryptobyte.String
	if !in.ReadASN1(&rdns, cbasn1.SEQUENCE) || !in.Empty() {
		return Name{}, errors.New("is not one SEQUENCE")
	}
	var n Name
	for !rdns.Empty() {
		if len(n.attributes) == MaxNameAttributes {
			return Name{}, fmt.Errorf("has more than %d attributes", MaxNameAttributes)
		}
		var set, pair cryptobyte.String
		if !rdns.ReadASN1(&set, cbasn1.SET) || !set.ReadASN1(&pair, cbasn1.SEQUENCE) {
			return Name{}, fmt.Errorf("RDN %d is malformed", len(n.attributes)+1)
		}
		if !set.Empty() {
			return Name{}, fmt.Errorf("RDN %d has more than one attribute, which is not supported", len(n.attributes)+1)
		}
		a, err := readAttribute(pair)
		if err != nil {
			return Name{}, fmt.Errorf("RDN %d: %w", len(n.attributes)+1, err)
		}
		n.attributes = append(n.attributes, a)
	}
	if !n.IsEmpty() {
		n.der = append([]byte(nil), der...)
	}
	return n, nil
}

func readAttribute(pair cryptobyte.String) (Attribute, error) {
	var oid encasn1.ObjectIdentifier
	var raw cryptobyte.String
	var tag cbasn1.Tag
	if !pair.ReadASN1ObjectIdentifier(&oid) || !pair.ReadAnyASN1(&raw, &tag) || !pair.Empty() {
		return Attribute{}, errors.New("is malformed")
	}
	t, err := lookupAttribute(oid.String())
	if err != nil {
		return Attribute{}, err
	}
	value, err := decodeString(raw, tag)
	if err != nil {
		return Attribute{}, fmt.Errorf("attribute %s: %w", t.name, err)
	}
	if err := t.check(value); err != nil {
		return Attribute{}, err
	}
	return Attribute{Type: t.name, OID: t.oid, Value: value}, nil
}

// decodeString leaves it to attributeType.check to refuse invalid UTF-8.
func decodeString(raw []byte, tag cbasn1.Tag) (string, error) {
	s := string(raw)
	switch tag {
	case tagUTF8String:
		return s, nil
	case tagPrintableString:
		if !isPrintable(s) {
			return "", errors.New("PrintableString has a character that it must not have")
		}
		return s, nil
	case tagIA5String:
		if !isASCII(s) {
			return "", errors.New("IA5String has a character outside ASCII")
		}
		return s, nil
	case tagBMPString:
		if len(raw)%2 != 0 {
			return "", errors.New("BMPString has an odd number of bytes")
		}
		units := make([]uint16, 0, len(raw)/2)
		for i := 0; i < len(raw); i += 2 {
			u := uint16(raw[i])<<8 | uint16(raw[i+1])
			if utf16.IsSurrogate(rune(u)) {
				return "", errors.New("BMPString has a surrogate")
			}
			units = append(units, u)
		}
		return string(utf16.Decode(units)), nil
	}
	return "", fmt.Errorf("string type with tag %#x is not supported; use UTF8String", uint8(tag))
}
