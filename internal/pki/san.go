package pki

import (
	"errors"
	"fmt"
	"net"
	"net/url"
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
func (s SubjectAltNames) Types() []SANType {
	var types []SANType
	for _, k := range []struct {
		t SANType
		n int
	}{{SANDNS, len(s.DNS)}, {SANIP, len(s.IP)}, {SANEmail, len(s.Email)}, {SANURI, len(s.URI)}} {
		if k.n > 0 {
			types = append(types, k.t)
		}
	}
	return types
}

// Validate checks the number and the syntax of the names (RFC 5280 §4.2.1.6).
func (s SubjectAltNames) Validate() error {
	if n := s.Len(); n > MaxSubjectAltNames {
		return fmt.Errorf("subject alternative names: has %d names, at most %d are allowed", n, MaxSubjectAltNames)
	}
	var errs []error
	for _, v := range s.DNS {
		errs = append(errs, checkDNS(v))
	}
	for _, v := range s.IP {
		if len(v) != net.IPv4len && len(v) != net.IPv6len {
			errs = append(errs, fmt.Errorf("IP: address has %d bytes, want 4 or 16", len(v)))
		}
	}
	for _, v := range s.Email {
		errs = append(errs, checkEmail(v))
	}
	for _, v := range s.URI {
		errs = append(errs, CheckURI(v))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("subject alternative names: %w", err)
	}
	return nil
}

func checkDNS(v string) error {
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
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		add := func(tag cbasn1.Tag, v []byte) {
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(v) })
		}
		for _, v := range s.DNS {
			add(tagDNS, []byte(v))
		}
		for _, v := range s.IP {
			if v4 := v.To4(); v4 != nil {
				v = v4
			}
			add(tagIP, v)
		}
		for _, v := range s.Email {
			add(tagRFC822, []byte(v))
		}
		for _, v := range s.URI {
			add(tagURI, []byte(v))
		}
	})
	return b.Bytes()
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
