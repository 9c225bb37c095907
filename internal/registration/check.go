package registration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/terrace-pki/terrace/internal/pki"
)

const oidServerAuth = "1.3.6.1.5.5.7.3.1" // RFC 5280 §4.2.1.12

// notJudged is the denial of a check that builds on another one.
func notJudged(on string) denial { return denial("not judged, because " + on + " did not pass") }

func deniedf(format string, args ...any) denial { return denial(fmt.Sprintf(format, args...)) }

func requestIsWellFormed(a Application) denial {
	if a.Request == nil {
		return "request: is not a PEM PKCS #10 request that can be read"
	}
	return ""
}

func keyIsSM2(a Application) denial {
	if a.Request == nil {
		return notJudged("requestIsWellFormed")
	}
	if err := a.Request.IsSM2(); err != nil {
		return deniedf("request: %v", err)
	}
	return ""
}

func possessionIsProved(a Application) denial {
	if keyIsSM2(a) != "" {
		return notJudged("keyIsSM2")
	}
	if err := a.Request.VerifyPossession(); err != nil {
		return deniedf("request: %v", err)
	}
	return ""
}

func namespaceIsAllowed(a Application) denial {
	p := a.Policy
	if a.Namespace == p.Namespace || slices.Contains(p.AllowedNamespaces, "*") || slices.Contains(p.AllowedNamespaces, a.Namespace) {
		return ""
	}
	return deniedf("namespace %q: the registration authority takes requests from %s; its spec.allowedNamespaces can name further ones",
		a.Namespace, list(append([]string{p.Namespace}, p.AllowedNamespaces...)))
}

func profileIsAllowed(a Application) denial {
	if slices.Contains(a.Policy.AllowedProfiles, a.ProfileName) {
		return ""
	}
	return deniedf("profile %q: the registration authority allows %s", a.ProfileName, list(a.Policy.AllowedProfiles))
}

func profileIsForSubscribers(a Application) denial {
	if a.Profile.CA != nil || a.Profile.KeyUsage&pki.KeyUsagesCA != 0 {
		return deniedf("profile %q: makes a CA, which no request can; declare a BusinessCA, for which its issuer decides", a.ProfileName)
	}
	return ""
}

func profileIsForSigning(a Application) denial {
	if u := a.Profile.KeyUsage; u&^pki.KeyUsagesSigning != 0 {
		return deniedf("profile %q: has the key usages %s, a signing certificate only %s", a.ProfileName, u, pki.KeyUsagesSigning)
	}
	return ""
}

func subjectFitsProfile(a Application) denial {
	if a.Request == nil {
		return notJudged("requestIsWellFormed")
	}
	// SubjectFor would quote the value that it found, which may be a person's name.
	for _, rule := range a.Profile.Subject {
		if rule.Presence != pki.Fixed {
			continue
		}
		if found, ok := a.Request.Subject.Value(rule.Type); ok && found != rule.Value {
			return deniedf("subject %s: the profile %q fixes attribute %s to %q; write that or leave it out",
				belonging(a.Request.Subject), a.ProfileName, rule.Type, rule.Value)
		}
	}
	if _, err := a.Subject(); err != nil {
		return denial(err.Error())
	}
	return ""
}

// subjectIsWithinRA judges the subject that is issued: the profile may add to
// the one in the request, and order it anew.
func subjectIsWithinRA(a Application) denial {
	if subjectFitsProfile(a) != "" {
		return notJudged("subjectFitsProfile")
	}
	subject, err := a.Subject()
	if err != nil {
		return notJudged("subjectFitsProfile")
	}
	if slices.ContainsFunc(a.Policy.AllowedNames, func(r NameRule) bool { return r.allowsSubject(subject) }) {
		return ""
	}
	return deniedf("subject %s: the registration authority allows %s", belonging(subject), describe(a.Policy.AllowedNames, kindSubject))
}

func alternativeNamesFitProfile(a Application) denial {
	if a.Request == nil {
		return notJudged("requestIsWellFormed")
	}
	for _, t := range a.Request.SubjectAltNames.Types() {
		if !slices.Contains(a.Profile.SANTypes, t) {
			allowed := make([]string, len(a.Profile.SANTypes))
			for i, s := range a.Profile.SANTypes {
				allowed[i] = string(s)
			}
			return deniedf("subject alternative names: there is one of kind %s, the profile %q allows %s", t, a.ProfileName, list(allowed))
		}
	}
	if a.Request.SubjectAltNames.Validate() != nil {
		return "subject alternative names: one is malformed"
	}
	return ""
}

func alternativeNamesAreWithinRA(a Application) denial {
	if a.Request == nil {
		return notJudged("requestIsWellFormed")
	}
	names := a.Request.SubjectAltNames
	ips := make([]string, len(names.IP))
	for i, ip := range names.IP {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			ips[i] = addr.Unmap().String()
		}
	}
	for _, c := range []struct {
		kind   nameKind
		values []string
		allows func(NameRule, string) bool
		// show is the part of the name that says nothing about a person.
		show func(string) string
	}{
		{kindDNS, names.DNS, NameRule.allowsDNS, func(s string) string { return s }},
		{kindIP, ips, NameRule.allowsIP, func(s string) string { return s }},
		{kindEmail, names.Email, NameRule.allowsEmail, func(s string) string { return "...@" + s[strings.LastIndexByte(s, '@')+1:] }},
		{kindURI, names.URI, NameRule.allowsURI, showURI},
	} {
		for i, v := range c.values {
			if !slices.ContainsFunc(a.Policy.AllowedNames, func(r NameRule) bool { return c.allows(r, v) }) {
				return deniedf("%s %d, %q: the registration authority allows %s",
					c.kind.title, i+1, shorten(c.show(v), 128), describe(a.Policy.AllowedNames, c.kind))
			}
		}
	}
	return ""
}

// hostNameIsAlternativeName: clients that still read the common name (RFC 9525
// §6.1 forbids it) would take a host name there that no rule of the RA covers.
func hostNameIsAlternativeName(a Application) denial {
	if a.Request == nil {
		return notJudged("requestIsWellFormed")
	}
	serves := slices.Contains(a.Profile.ExtKeyUsage, oidServerAuth)
	if !serves && !slices.Contains(a.Profile.SANTypes, pki.SANDNS) {
		return ""
	}
	names := a.Request.SubjectAltNames
	if serves && len(names.DNS)+len(names.IP) == 0 {
		return deniedf("subject alternative names: there is no DNS or IP name, by which clients know a server; the profile %q is for servers", a.ProfileName)
	}
	for _, attribute := range a.Request.Subject.Attributes() {
		if attribute.Type == "CN" && looksLikeHost(attribute.Value) && !listed(names, attribute.Value) {
			return deniedf("subject CN %q: is a host name and not one of the alternative names; add it to them", shorten(attribute.Value, 128))
		}
	}
	return ""
}

// looksLikeHost: an address, or labels with a dot between them.
func looksLikeHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return strings.Contains(s, ".") && checkHost(strings.TrimPrefix(s, "*.")) == nil
}

func listed(names pki.SubjectAltNames, host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		for _, ip := range names.IP {
			if a, ok := netip.AddrFromSlice(ip); ok && a.Unmap() == addr.Unmap() {
				return true
			}
		}
	}
	return slices.ContainsFunc(names.DNS, func(d string) bool { return strings.EqualFold(d, host) })
}

func identityIsComplete(a Application) denial {
	var unknown []string
	for name := range a.Identity {
		if !slices.ContainsFunc(a.Profile.IdentityExtensions, func(e pki.IdentityExtension) bool { return e.Name == name }) {
			unknown = append(unknown, name)
		}
	}
	// Sorted: the reason must not change from one evaluation to the next.
	if slices.Sort(unknown); len(unknown) > 0 {
		known := make([]string, len(a.Profile.IdentityExtensions))
		for i, e := range a.Profile.IdentityExtensions {
			known[i] = e.Name
		}
		return deniedf("identity %q: is unknown to the profile %q, which has %s", shorten(unknown[0], 63), a.ProfileName, list(known))
	}
	if err := a.Profile.CheckIdentity(a.Identity); err != nil {
		return denial(err.Error())
	}
	return ""
}

// belonging is a subject without the attributes that may tell who somebody is.
func belonging(n pki.Name) string {
	var kept []pki.Attribute
	for _, a := range n.Attributes() {
		if slices.Contains([]string{"C", "ST", "L", "O", "OU", "DC"}, a.Type) {
			kept = append(kept, a)
		}
	}
	shown, err := pki.NewName(kept...)
	if err != nil || len(kept) == 0 {
		return `"..."`
	}
	text := shown.String()
	if len(kept) < len(n.Attributes()) {
		text = "...," + text
	}
	return fmt.Sprintf("%q", shorten(text, 160))
}

// maxListed bounds what a reason enumerates.
const maxListed = 6

// list writes alternatives for a reason.
func list(values []string) string {
	switch n := len(values); {
	case n == 0:
		return "none"
	case n > maxListed:
		return fmt.Sprintf("%s and %d more", strings.Join(values[:maxListed], ", "), n-maxListed)
	}
	return strings.Join(values, ", ")
}
