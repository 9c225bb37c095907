package validation

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/terrace-pki/terrace/internal/trustlist"
)

// Kinds of CAs in names of files: the kind of the object in lower case.
const (
	KindIndustryCA = "industryca"
	KindBusinessCA = "businessca"
)

// maxName is the longest name of an object in bytes (RFC 1123 subdomain).
const maxName = 253

// CAName names one key generation of a CA in paths, as authority.IssuerKey.FileName
// writes it into certificates:
// "<kind>-<name>-g<generation>", e.g. "businessca-province-g1". The namespace
// is that of the validation service.
type CAName struct {
	// Kind is KindIndustryCA or KindBusinessCA: two CAs of different kinds may
	// share a name.
	Kind string
	// Name of the object.
	Name string
	// Generation counts the CA's keys, from 1.
	Generation int32
}

// String is the form in paths.
func (n CAName) String() string { return fmt.Sprintf("%s-%s-g%d", n.Kind, n.Name, n.Generation) }

// BasePath is the path part of a service's base URL, without a slash at its
// end: "" when the service is the only one of its host.
func BasePath(baseURL string) (string, error) {
	u, err := url.Parse(baseURL)
	if err != nil {
		return "", fmt.Errorf("base URL: %w", err)
	}
	if u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.RawPath != "" {
		return "", fmt.Errorf("base URL %.100q: want http://host[:port][/path] without query, fragment or escapes", baseURL)
	}
	base := strings.TrimSuffix(u.Path, "/")
	if err := checkBase(base); err != nil {
		return "", fmt.Errorf("base URL %.100q: %w", baseURL, err)
	}
	return base, nil
}

func checkBase(base string) error {
	if base == "" {
		return nil
	}
	if !strings.HasPrefix(base, "/") {
		return errors.New("path does not begin with a slash")
	}
	for segment := range strings.SplitSeq(base[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return errors.New("path has an empty segment or a dot segment")
		}
	}
	return nil
}

// isDeltaName tells "<ca>-s<shard>-delta.crl", the delta beside a list, and
// returns the name of the list. No name of a list ends like that.
func isDeltaName(file string) (full string, delta bool) {
	if stem, ok := strings.CutSuffix(file, "-delta.crl"); ok {
		return stem + ".crl", true
	}
	return file, false
}

// parseCRLName reads "<ca>-s<shard>.crl".
func parseCRLName(file string) (ca CAName, shard int32, ok bool) {
	stem, isCRL := strings.CutSuffix(file, ".crl")
	i := strings.LastIndex(stem, "-s")
	if !isCRL || i < 0 {
		return CAName{}, 0, false
	}
	shard, ok = parseNumber(stem[i+2:], 0)
	if !ok {
		return CAName{}, 0, false
	}
	ca, ok = parseCAName(stem[:i])
	return ca, shard, ok
}

// parseCertificateName reads "<ca>.cer".
func parseCertificateName(file string) (ca CAName, ok bool) {
	stem, isCertificate := strings.CutSuffix(file, ".cer")
	if !isCertificate {
		return CAName{}, false
	}
	return parseCAName(stem)
}

// parseTrustListName reads "<ca>.ctl" and "<ca>.p7b", of an industry CA.
func parseTrustListName(file string) (ca CAName, form trustlist.Form, ok bool) {
	for _, form := range trustlist.Forms {
		if stem, is := strings.CutSuffix(file, form.Extension()); is {
			ca, ok = parseCAName(stem)
			return ca, form, ok && ca.Kind == KindIndustryCA
		}
	}
	return CAName{}, 0, false
}

func parseCAName(s string) (CAName, bool) {
	kind, rest, _ := strings.Cut(s, "-")
	if kind != KindIndustryCA && kind != KindBusinessCA {
		return CAName{}, false
	}
	i := strings.LastIndex(rest, "-g")
	if i < 1 || i > maxName {
		return CAName{}, false
	}
	generation, ok := parseNumber(rest[i+2:], 1)
	if !ok || strings.ContainsFunc(rest[:i], isForeign) {
		return CAName{}, false
	}
	return CAName{Kind: kind, Name: rest[:i], Generation: generation}, true
}

// isForeign says that a rune is in no name of an object (RFC 1123).
func isForeign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.'
}

// parseNumber reads a number in its only decimal form, so that each file has
// one path.
func parseNumber(s string, least int32) (int32, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || int32(n) < least || strconv.FormatInt(n, 10) != s {
		return 0, false
	}
	return int32(n), true
}
