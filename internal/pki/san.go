package pki

import (
	"errors"
	"fmt"
	"iter"
	"net"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of subject alternative names.
const (
	MaxSubjectAltNames = 100
	maxDNSName         = 253  // bytes, RFC 1035 §2.3.4
	maxEmail           = 254  // bytes, RFC 5321 §4.5.3.1.3
	maxURI             = 1024 // bytes
)

// SANType is a kind of GeneralName.
type SANType string

// Kinds of GeneralName that are issued (RFC 5280 §4.2.1.6).
const (
	SANDNS   SANType = "DNS"
	SANIP    SANType = "IP"
	SANEmail SANType = "Email"
	SANURI   SANType = "URI"
)

// SubjectAltNames are the names of a subjectAltName extension, at most
// MaxSubjectAltNames together.
type SubjectAltNames struct {
	DNS   []string
	IP    []net.IP
	Email []string
	URI   []string
}

// Len is the number of names.
func (s SubjectAltNames) Len() int { return len(s.DNS) + len(s.IP) + len(s.Email) + len(s.URI) }

// Types lists the kinds that are there.
func (s SubjectAltNames) Types() []SANType { return slices.Collect(s.kinds()) }

func (s SubjectAltNames) kinds() iter.Seq[SANType] {
	return func(yield func(SANType) bool) {
		_ = (len(s.DNS) == 0 || yield(SANDNS)) && (len(s.IP) == 0 || yield(SANIP)) &&
			(len(s.Email) == 0 || yield(SANEmail)) && (len(s.URI) == 0 || yield(SANURI))
	}
}

// Validate checks the number and the syntax of the names (RFC 5280 §4.2.1.6).
func (s SubjectAltNames) Validate() error {
	if n := s.Len(); n > MaxSubjectAltNames {
		return fmt.Errorf("subject alternative names: has %d names, at most %d are allowed", n, MaxSubjectAltNames)
	}
	var errs []error
	check := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for _, v := range s.DNS {
		check(checkDNS(v))
	}
	for _, v := range s.IP {
		if len(v) != net.IPv4len && len(v) != net.IPv6len {
			check(fmt.Errorf("IP: address has %d bytes, want 4 or 16", len(v)))
		}
	}
	for _, v := range s.Email {
		check(checkEmail(v))
	}
	for _, v := range s.URI {
		check(CheckURI(v))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("subject alternative names: %w", err)
	}
	return nil
}

func checkDNS(v string) error {
	if isPlainDNS(v) {
		return nil
	}
	return fullyCheckDNS(v)
}

func fullyCheckDNS(v string) error {
	fail := func(why string) error { return fmt.Errorf("DNS %.64q: %s", v, why) }
	if v == "" || len(v) > maxDNSName {
		return fail(fmt.Sprintf("has %d bytes, want 1 to %d", len(v), maxDNSName))
	}
	labels := strings.Split(v, ".")
	for i, l := range labels {
		if i == 0 && l == "*" && len(labels) > 2 {
			continue
		}
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return fail("has a label that is empty, longer than 63 bytes, or begins or ends with a hyphen")
		}
		for j := range len(l) {
			if c := l[j]; !isLetter(c) && (c < '0' || c > '9') && c != '-' {
				return fail("has a character outside letters, digits and hyphen; write other scripts as xn-- labels")
			}
		}
	}
	return nil
}

func checkEmail(v string) error {
	if isPlainEmail(v) {
		return nil
	}
	return fullyCheckEmail(v)
}

func fullyCheckEmail(v string) error {
	local, domain, ok := strings.Cut(v, "@")
	switch {
	case len(v) > maxEmail || !isGraphic(v):
		return fmt.Errorf("e-mail address: want at most %d visible ASCII characters", maxEmail)
	case !ok || local == "" || strings.ContainsAny(local, `()<>[]:;,\"`) || checkDNS(domain) != nil || strings.Contains(domain, "*"):
		return errors.New("e-mail address: want local@domain")
	}
	return nil
}

// CheckURI says whether v is an absolute URI with a host or an opaque part, in
// ASCII and of at most 1024 bytes, as certificates carry it.
func CheckURI(v string) error {
	if isPlainURI(v) {
		return nil
	}
	return fullyCheckURI(v)
}

func fullyCheckURI(v string) error {
	if v == "" || len(v) > maxURI || !isGraphic(v) {
		return fmt.Errorf("URI %.64q: want 1 to %d visible ASCII characters", v, maxURI)
	}
	u, err := url.Parse(v)
	if err != nil || !u.IsAbs() || (u.Host == "" && u.Opaque == "" && u.Path == "") {
		return fmt.Errorf("URI %.64q: want an absolute one, e.g. http://host/path", v)
	}
	return nil
}

// isGraphic: visible ASCII, no space.
func isGraphic(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

var (
	tagRFC822 = cbasn1.Tag(1).ContextSpecific()
	tagDNS    = cbasn1.Tag(2).ContextSpecific()
	tagURI    = cbasn1.Tag(6).ContextSpecific()
	tagIP     = cbasn1.Tag(7).ContextSpecific()
)

// DER is the GeneralNames of RFC 5280 §4.2.1.6.
func (s SubjectAltNames) DER() ([]byte, error) {
	e := NewEncoder(32 * (1 + s.Len()))
	e.SubjectAltNames(s)
	return e.Bytes()
}

// SubjectAltNames writes the GeneralNames of RFC 5280 §4.2.1.6.
func (e *Encoder) SubjectAltNames(s SubjectAltNames) {
	e.Nest(cbasn1.SEQUENCE, func() {
		for _, v := range s.DNS {
			e.Text(tagDNS, v)
		}
		for _, v := range s.IP {
			if v4 := v.To4(); v4 != nil {
				v = v4
			}
			e.Octets(tagIP, v)
		}
		for _, v := range s.Email {
			e.Text(tagRFC822, v)
		}
		for _, v := range s.URI {
			e.Text(tagURI, v)
		}
	})
}

// ParseSubjectAltNames reads a GeneralNames of DNS, IP, Email and URI names and
// validates it; other kinds are refused by their number.
func ParseSubjectAltNames(der []byte) (SubjectAltNames, error) {
	var s SubjectAltNames
	in := cryptobyte.String(der)
	var names cryptobyte.String
	if !in.ReadASN1(&names, cbasn1.SEQUENCE) || !in.Empty() || names.Empty() {
		return s, errors.New("subject alternative names: want a SEQUENCE of at least one name")
	}
	for !names.Empty() {
		if s.Len() == MaxSubjectAltNames {
			return s, fmt.Errorf("subject alternative names: has more than %d names", MaxSubjectAltNames)
		}
		var v cryptobyte.String
		var tag cbasn1.Tag
		if !names.ReadAnyASN1(&v, &tag) {
			return s, errors.New("subject alternative names: is malformed")
		}
		switch tag {
		case tagDNS:
			s.DNS = append(s.DNS, string(v))
		case tagIP:
			s.IP = append(s.IP, append(net.IP(nil), v...))
		case tagRFC822:
			s.Email = append(s.Email, string(v))
		case tagURI:
			s.URI = append(s.URI, string(v))
		default:
			return s, fmt.Errorf("subject alternative names: names of kind [%d] are not issued; use DNS, IP, Email or URI", tag&0x1f)
		}
	}
	return s, s.Validate()
}
