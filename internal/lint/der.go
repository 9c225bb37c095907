package lint

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxDepth bounds the nesting of elements; certificates have about ten.
const maxDepth = 32

// document is anything in DER.
type document struct {
	raw []byte
	// values are what extensions hold, which are DER again.
	values []Extension
}

// element is one TLV.
type element struct {
	tag     cbasn1.Tag
	content []byte
}

func (d document) each(f func(e element) error) error {
	if err := walk(d.raw, 0, f); err != nil {
		return err
	}
	for _, x := range d.values {
		// What is no DER at all is the business of extension-value-der.
		if walk(x.Value, 0, func(element) error { return nil }) != nil {
			continue
		}
		if err := walk(x.Value, 0, f); err != nil {
			return fmt.Errorf("extension %s: %w", x.OID, err)
		}
	}
	return nil
}

// walk calls f for each element and those within it, until it returns an error.
func walk(in cryptobyte.String, depth int, f func(e element) error) error {
	if depth > maxDepth {
		return fmt.Errorf("is nested more than %d deep", maxDepth)
	}
	for !in.Empty() {
		var content cryptobyte.String
		var tag cbasn1.Tag
		if !in.ReadAnyASN1(&content, &tag) {
			return errors.New("has an element that is cut off or whose length is not in the shortest definite form")
		}
		if err := f(element{tag, content}); err != nil {
			return err
		}
		if tag&0x20 != 0 {
			if err := walk(content, depth+1, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func derRule(name, source, demands string, f func(e element) error) rule[document] {
	return rule[document]{name, SeverityError, kindsAll, source, demands, func(d document) error { return d.each(f) }}
}

// derRules hold for everything, also within extensions.
var derRules = []rule[document]{
	derRule("der-integer-minimal", "X.690 §8.3.2", "INTEGER and ENUMERATED are in the fewest octets", func(e element) error {
		if v := e.content; (e.tag == cbasn1.INTEGER || e.tag == cbasn1.ENUM) &&
			(len(v) == 0 || len(v) > 1 && (v[0] == 0 && v[1] < 0x80 || v[0] == 0xff && v[1] >= 0x80)) {
			return fmt.Errorf("INTEGER %.40x is empty or not in the fewest octets", v)
		}
		return nil
	}),
	derRule("der-boolean", "X.690 §11.1", "BOOLEAN is 00 or FF", func(e element) error {
		if v := e.content; e.tag == cbasn1.BOOLEAN && (len(v) != 1 || v[0] != 0 && v[0] != 0xff) {
			return fmt.Errorf("BOOLEAN is %.8x", v)
		}
		return nil
	}),
	derRule("der-bit-string", "X.690 §8.6.2, §11.2.1", "the unused bits of a BIT STRING are fewer than 8, and zero", func(e element) error {
		v := e.content
		if e.tag == cbasn1.BIT_STRING && (len(v) == 0 || v[0] > 7 || len(v) == 1 && v[0] != 0 || v[len(v)-1]&(1<<v[0]-1) != 0 && len(v) > 1) {
			return errors.New("BIT STRING has unused bits that are too many or not zero")
		}
		return nil
	}),
	derRule("der-oid-minimal", "X.690 §8.19.2", "the arcs of an OBJECT IDENTIFIER are whole and in the fewest octets", func(e element) error {
		if e.tag != cbasn1.OBJECT_IDENTIFIER {
			return nil
		}
		start := true
		for _, b := range e.content {
			if start && b == 0x80 {
				return errors.New("OBJECT IDENTIFIER has an arc with a leading zero")
			}
			start = b < 0x80
		}
		if len(e.content) == 0 || !start {
			return errors.New("OBJECT IDENTIFIER is empty or cut off")
		}
		return nil
	}),
	derRule("der-null", "X.690 §8.8.2", "NULL has no content", func(e element) error {
		if e.tag == cbasn1.NULL && len(e.content) > 0 {
			return errors.New("NULL has content")
		}
		return nil
	}),
	derRule("der-primitive", "X.690 §10.2", "strings are not cut into pieces", func(e element) error {
		if e.tag&0xe0 == 0x20 && e.tag != cbasn1.SEQUENCE && e.tag != cbasn1.SET {
			return fmt.Errorf("universal tag %d is constructed", e.tag&0x1f)
		}
		return nil
	}),
	derRule("der-utf8-string", "X.690 §8.23.10, RFC 3629", "UTF8String is UTF-8", func(e element) error {
		if e.tag == cbasn1.UTF8String && !utf8.Valid(e.content) {
			return errors.New("UTF8String is not UTF-8")
		}
		return nil
	}),
	derRule("der-printable-string", "X.680 §41", "PrintableString has letters, digits, space and '()+,-./:=? alone", func(e element) error {
		if e.tag == cbasn1.PrintableString && bytes.ContainsFunc(e.content, func(r rune) bool { return !printable(r) }) {
			return fmt.Errorf("PrintableString %.64q has another character", e.content)
		}
		return nil
	}),
	derRule("der-ia5-string", "X.680 §41", "IA5String is ASCII", func(e element) error {
		if e.tag == cbasn1.IA5String && bytes.ContainsFunc(e.content, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return fmt.Errorf("IA5String %.64q has another character", e.content)
		}
		return nil
	}),
	{"extension-value-der", SeverityError, kindsAll, "RFC 5280 §4.2, X.690", "what an extension holds is one element in DER", func(d document) error {
		for _, x := range d.values {
			in := cryptobyte.String(x.Value)
			var content cryptobyte.String
			var tag cbasn1.Tag
			if !in.ReadAnyASN1(&content, &tag) || !in.Empty() {
				return fmt.Errorf("extension %s is not one element", x.OID)
			}
			if err := walk(x.Value, 0, func(element) error { return nil }); err != nil {
				return fmt.Errorf("extension %s: %w", x.OID, err)
			}
		}
		return nil
	}},
}

func printable(r rune) bool {
	return 'a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9' || r < utf8.RuneSelf && bytes.ContainsRune([]byte(" '()+,-./:=?"), r)
}
