package pki

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The functions of this file accept what is plainly good, in the form that
// nearly all certificates have, without an allocation. What they do not accept
// is not wrong: the full checks, which say why, decide about it. Whatever these
// accept the full checks accept, which the fuzz tests show.

type text interface{ ~string | ~[]byte }

// CheckNameDER is ParseNameDER for those who do not want the name.
func CheckNameDER(der []byte) error {
	if isPlainName(der) {
		return nil
	}
	_, err := ParseNameDER(der)
	return err
}

// CheckSubjectAltNamesDER is ParseSubjectAltNames for those who do not want the names.
func CheckSubjectAltNamesDER(der []byte) error {
	if isPlainSubjectAltNames(der) {
		return nil
	}
	_, err := ParseSubjectAltNames(der)
	return err
}

// CheckURIBytes is CheckURI over the bytes of a certificate.
func CheckURIBytes(v []byte) error {
	if isPlainURI(v) {
		return nil
	}
	return CheckURI(string(v))
}

func isPlainName(der []byte) bool {
	in := cryptobyte.String(der)
	var rdns cryptobyte.String
	if len(der) > MaxNameDER || !in.ReadASN1(&rdns, cbasn1.SEQUENCE) || !in.Empty() {
		return false
	}
	for n := 0; !rdns.Empty(); n++ {
		var set, pair, oid, value cryptobyte.String
		var tag cbasn1.Tag
		if n == MaxNameAttributes || !rdns.ReadASN1(&set, cbasn1.SET) || !set.ReadASN1(&pair, cbasn1.SEQUENCE) || !set.Empty() ||
			!pair.ReadASN1Element(&oid, cbasn1.OBJECT_IDENTIFIER) || !pair.ReadAnyASN1(&value, &tag) || !pair.Empty() {
			return false
		}
		t, ok := attributeOf(oid)
		if !ok || t.tag != tag || !isPlainValue(t, value) {
			return false
		}
	}
	return true
}

// attributeOf knows the types with a short name.
func attributeOf(oid []byte) (attributeType, bool) {
	dotted, ok := wellKnown.dotted[string(oid)]
	if !ok {
		return attributeType{}, false
	}
	for _, t := range attributeTypes {
		if t.oid == dotted {
			return t, true
		}
	}
	return attributeType{}, false
}

func isPlainValue[T text](t attributeType, v T) bool {
	switch {
	case !isPlainText(v, MaxNameValue):
		return false
	case t.name == "C":
		return len(v) == 2 && isLetter(v[0]) && isLetter(v[1])
	case t.tag == tagUTF8String:
		return true
	}
	for i := range len(v) {
		if !isLetter(v[i]) && (v[i] < '0' || v[i] > '9') && v[i] != '-' && v[i] != '.' && v[i] != '@' {
			return false
		}
		if v[i] == '@' && t.tag != tagIA5String {
			return false
		}
	}
	return true
}

// isPlainText: at most limit characters, the first of them visible, all of
// visible ASCII, space, or letters and digits of any script.
func isPlainText[T text](v T, limit int) bool {
	if len(v) == 0 || v[0] == ' ' {
		return false
	}
	n := 0
	for i := 0; i < len(v); n++ {
		if c := v[i]; c < utf8.RuneSelf {
			if c < ' ' || c > '~' {
				return false
			}
			i++
			continue
		}
		r, size := decodeRune(v[i:])
		if common := '一' <= r && r <= '鿿'; size == 1 || !common && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
		i += size
	}
	return n <= limit
}

// decodeRune copies at most one character, so that neither form allocates.
func decodeRune[T text](v T) (rune, int) {
	var b [utf8.UTFMax]byte
	n := copy(b[:], v)
	return utf8.DecodeRune(b[:n])
}

func isPlainSubjectAltNames(der []byte) bool {
	in := cryptobyte.String(der)
	var names cryptobyte.String
	if !in.ReadASN1(&names, cbasn1.SEQUENCE) || !in.Empty() || names.Empty() {
		return false
	}
	for n := 0; !names.Empty(); n++ {
		var v cryptobyte.String
		var tag cbasn1.Tag
		if n == MaxSubjectAltNames || !names.ReadAnyASN1(&v, &tag) {
			return false
		}
		var ok bool
		switch tag {
		case tagDNS:
			ok = isPlainDNS(v)
		case tagIP:
			ok = len(v) == 4 || len(v) == 16
		case tagRFC822:
			ok = isPlainEmail(v)
		case tagURI:
			ok = isPlainURI(v)
		}
		if !ok {
			return false
		}
	}
	return true
}

// isPlainDNS: labels of letters, digits and inner hyphens; no wildcard.
func isPlainDNS[T text](v T) bool {
	if len(v) > maxDNSName {
		return false
	}
	label := 0
	for i := 0; i <= len(v); i++ {
		if i == len(v) || v[i] == '.' {
			if label == 0 || label > 63 || v[i-1] == '-' || v[i-label] == '-' {
				return false
			}
			label = 0
			continue
		}
		if !isLetter(v[i]) && (v[i] < '0' || v[i] > '9') && v[i] != '-' {
			return false
		}
		label++
	}
	return true
}

// isPlainEmail: letters, digits, dots, hyphens and underscores at a plain domain.
func isPlainEmail[T text](v T) bool {
	if len(v) > maxEmail {
		return false
	}
	for i := range len(v) {
		c := v[i]
		if c == '@' {
			return i > 0 && isPlainDNS(v[i+1:])
		}
		if !isLetter(c) && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return false
}

// isPlainURI: http or https, a plain domain without a port, and a path of
// letters, digits, dots, hyphens, underscores and slashes.
func isPlainURI[T text](v T) bool {
	start := 7
	switch {
	case len(v) > maxURI:
		return false
	case len(v) > 8 && string(v[:8]) == "https://":
		start = 8
	case len(v) > 7 && string(v[:7]) == "http://":
	default:
		return false
	}
	end := start
	for end < len(v) && v[end] != '/' {
		end++
	}
	for i := end; i < len(v); i++ {
		c := v[i]
		if !isLetter(c) && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' && c != '/' {
			return false
		}
	}
	return isPlainDNS(v[start:end])
}
