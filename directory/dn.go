package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Bounds of DNs.
const (
	// MaxDN is the longest DN in bytes.
	MaxDN = 1024
	// MaxRDN is the longest RDN in bytes that is written. back-mdb keeps an RDN
	// twice in one value of at most 511 bytes.
	MaxRDN  = 230
	maxRDNs = 32
	maxAVAs = 4
)

// ava is one attribute and value of an RDN.
type ava struct{ typ, value string }

// dn is a distinguished name, most specific RDN first.
type dn [][]ava

// NormalizeDN returns the form under which DNs are compared: lower case, runs
// of spaces as one, the parts of a multi-valued RDN sorted, RFC 4514 escapes in
// one way. It fails when s is no DN of at most MaxDN bytes.
func NormalizeDN(s string) (string, error) {
	d, err := parseDN(s)
	if err != nil {
		return "", err
	}
	return d.key(), nil
}

// parseDN reads the text form of RFC 4514 §3, without values in hexadecimal ("#...").
func parseDN(s string) (dn, error) {
	d, err := readDN(s)
	if err != nil {
		return nil, fmt.Errorf("DN %.200q: %w", s, err)
	}
	return d, nil
}

func readDN(s string) (dn, error) {
	switch {
	case s == "":
		return nil, errors.New("is empty")
	case len(s) > MaxDN:
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(s), MaxDN)
	case !utf8.ValidString(s):
		return nil, errors.New("is not valid UTF-8")
	}
	d := dn{nil}
	for rest := s; ; {
		typ, after, ok := strings.Cut(rest, "=")
		typ = strings.TrimSpace(typ)
		if !ok || !isAttributeType(typ) {
			return nil, fmt.Errorf("RDN %d: want <type>=<value>", len(d))
		}
		value, n, err := readDNValue(after)
		if err != nil {
			return nil, fmt.Errorf("RDN %d: %w", len(d), err)
		}
		last := len(d) - 1
		if len(d[last]) == maxAVAs {
			return nil, fmt.Errorf("RDN %d: has more than %d parts", len(d), maxAVAs)
		}
		d[last] = append(d[last], ava{typ, value})
		if n == len(after) {
			return d, nil
		}
		if after[n] == ',' {
			if len(d) == maxRDNs {
				return nil, fmt.Errorf("has more than %d RDNs", maxRDNs)
			}
			d = append(d, nil)
		}
		rest = after[n+1:]
	}
}

func isAttributeType(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// readDNValue reads up to an unescaped comma or plus sign.
func readDNValue(s string) (value string, n int, err error) {
	var out []byte
	keep := 0
	for n < len(s) && s[n] != ',' && s[n] != '+' {
		c := s[n]
		switch {
		case c == '\\':
			b, width, err := pki.UnescapeNameByte(s[n+1:])
			if err != nil {
				return "", 0, err
			}
			out = append(out, b)
			keep = len(out)
			n += width
		case c == 0 || strings.IndexByte(`";<>`, c) >= 0 || (c == '#' && len(out) == 0):
			return "", 0, fmt.Errorf("value has an unescaped %q", c)
		case c == ' ' && len(out) == 0: // leading
		default:
			out = append(out, c)
			if c != ' ' {
				keep = len(out)
			}
		}
		n++
	}
	if keep == 0 {
		return "", 0, errors.New("value is empty")
	}
	if !utf8.Valid(out[:keep]) {
		return "", 0, errors.New("value is not valid UTF-8")
	}
	return string(out[:keep]), n, nil
}

// escapeDN writes a value by RFC 4514 §2.4.
func escapeDN(b *strings.Builder, v string) {
	for i := range len(v) {
		c := v[i]
		switch {
		case c < 0x20 || c == 0x7f:
			fmt.Fprintf(b, `\%02X`, c)
			continue
		case strings.IndexByte(`",+;<>=\`, c) >= 0,
			i == 0 && c == '#',
			(i == 0 || i == len(v)-1) && c == ' ':
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
}

func (d dn) String() string {
	var b strings.Builder
	for i, rdn := range d {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, a := range rdn {
			if j > 0 {
				b.WriteByte('+')
			}
			b.WriteString(a.typ)
			b.WriteByte('=')
			escapeDN(&b, a.value)
		}
	}
	return b.String()
}

func (d dn) key() string {
	n := make(dn, len(d))
	for i, rdn := range d {
		n[i] = make([]ava, len(rdn))
		for j, a := range rdn {
			n[i][j] = ava{strings.ToLower(a.typ), strings.ToLower(strings.Join(strings.Fields(a.value), " "))}
		}
		slices.SortFunc(n[i], func(a, b ava) int { return strings.Compare(a.typ+"="+a.value, b.typ+"="+b.value) })
	}
	return n.String()
}

// child is d with one more RDN below it.
func (d dn) child(rdn ...ava) dn { return append(dn{rdn}, d...) }

// within says whether d is base or stands below it.
func (d dn) within(base dn) bool {
	return len(d) >= len(base) && d[len(d)-len(base):].key() == base.key()
}

// Overlap says whether one of two DNs stands in the subtree of the other.
func Overlap(a, b string) (bool, error) {
	x, err := parseDN(a)
	if err != nil {
		return false, err
	}
	y, err := parseDN(b)
	if err != nil {
		return false, err
	}
	return x.within(y) || y.within(x), nil
}
