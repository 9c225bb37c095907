package registration

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/terrace-pki/terrace/internal/pki"
)

// MaxNameRules is the largest number of rules of one registration authority.
const MaxNameRules = 64

// NameRuleText is a rule as it is written; the grammar of each member, with an
// example, is in docs/registrationauthority.md.
type NameRuleText struct {
	SubjectBase string // "O=Ministry,C=CN"
	DNSSuffix   string // "mohrss.example"
	IPRange     string // "10.1.0.0/16"
	EmailDomain string // "mohrss.example"
	URIPrefix   string // "https://app.example/users/"
}

// NameRule is a set of names that a registration authority owns. A rule with
// several members allows the names of each. The zero NameRule allows none.
type NameRule struct {
	subject     pki.Name // empty: none
	dnsSuffix   string   // lower case
	ipRange     netip.Prefix
	emailDomain string // lower case
	uri         *uri   // nil: none
}

// ParseNameRules reads the rules of an RA. An error names the index and the
// member, what is wrong, and the cure.
func ParseNameRules(texts []NameRuleText) ([]NameRule, error) {
	if len(texts) > MaxNameRules {
		return nil, fmt.Errorf("has %d rules, at most %d are allowed", len(texts), MaxNameRules)
	}
	rules := make([]NameRule, len(texts))
	for i, t := range texts {
		var err error
		if rules[i], err = ParseNameRule(t); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return rules, nil
}

// ParseNameRule reads one rule; at least one member must be there.
func ParseNameRule(t NameRuleText) (NameRule, error) {
	if t == (NameRuleText{}) {
		return NameRule{}, errors.New("has no member; want one of subjectBase, dnsSuffix, ipRange, emailDomain, uriPrefix")
	}
	var r NameRule
	for _, member := range []struct {
		name, value string
		set         func(string) error
	}{
		{"subjectBase", t.SubjectBase, r.setSubject},
		{"dnsSuffix", t.DNSSuffix, func(s string) (err error) { r.dnsSuffix, err = parseDomain(s); return err }},
		{"ipRange", t.IPRange, r.setIPRange},
		{"emailDomain", t.EmailDomain, func(s string) (err error) { r.emailDomain, err = parseDomain(s); return err }},
		{"uriPrefix", t.URIPrefix, func(s string) (err error) { r.uri, err = parseURIPrefix(s); return err }},
	} {
		if member.value == "" {
			continue
		}
		if err := member.set(member.value); err != nil {
			return NameRule{}, fmt.Errorf("%s %q: %w", member.name, shorten(member.value, 64), err)
		}
	}
	return r, nil
}

func (r *NameRule) setSubject(s string) (err error) {
	r.subject, err = pki.ParseName(s)
	return err
}

func (r *NameRule) setIPRange(s string) error {
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return errors.New("is no CIDR block; write it like 10.1.0.0/16 or 2001:db8::/32")
	case p.Addr().Is4In6():
		return errors.New("is an IPv4 block in IPv6 form; write it as IPv4")
	case p != p.Masked():
		return fmt.Errorf("has bits behind the prefix; write %s", p.Masked())
	}
	r.ipRange = p
	return nil
}

func (r NameRule) allowsSubject(n pki.Name) bool {
	return !r.subject.IsEmpty() && n.Within(r.subject)
}

// allowsDNS takes the suffix itself and what ends at a label border in the
// suffix; "*." may stand before either.
func (r NameRule) allowsDNS(name string) bool {
	host, err := parseDomain(strings.TrimPrefix(name, "*."))
	return err == nil && r.dnsSuffix != "" && (host == r.dnsSuffix || strings.HasSuffix(host, "."+r.dnsSuffix))
}

func (r NameRule) allowsIP(text string) bool {
	addr, err := netip.ParseAddr(text)
	return err == nil && addr.Zone() == "" && r.ipRange.IsValid() && r.ipRange.Contains(addr.Unmap())
}

// allowsEmail takes exactly one "@", so that no reader can see another domain.
func (r NameRule) allowsEmail(address string) bool {
	local, domain, _ := strings.Cut(address, "@")
	host, err := parseDomain(domain)
	return err == nil && local != "" && r.emailDomain != "" && host == r.emailDomain
}

func (r NameRule) allowsURI(text string) bool {
	if r.uri == nil {
		return false
	}
	u, err := parseURI(text)
	return err == nil && r.uri.contains(u)
}

// nameKind is a kind of name, for reasons.
type nameKind struct {
	title, member string
	value         func(NameRule) string // empty: the rule says nothing about the kind
}

var (
	kindSubject = nameKind{"subject", "subjectBase", func(r NameRule) string { return r.subject.String() }}
	kindDNS     = nameKind{"DNS name", "dnsSuffix", func(r NameRule) string { return r.dnsSuffix }}
	kindEmail   = nameKind{"e-mail address", "emailDomain", func(r NameRule) string { return r.emailDomain }}
	kindIP      = nameKind{"IP address", "ipRange", func(r NameRule) string {
		if !r.ipRange.IsValid() {
			return ""
		}
		return r.ipRange.String()
	}}
	kindURI = nameKind{"URI", "uriPrefix", func(r NameRule) string {
		if r.uri == nil {
			return ""
		}
		return r.uri.String()
	}}
)

// describe says for a reason what the rules allow of one kind.
func describe(rules []NameRule, kind nameKind) string {
	var values []string
	for _, r := range rules {
		if v := kind.value(r); v != "" {
			values = append(values, shorten(v, 64))
		}
	}
	if len(values) == 0 {
		return "none: its spec.allowedNames has no " + kind.member
	}
	return "those below " + list(values)
}
