package registration

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const maxURI = 1024 // bytes

// uri is a hierarchical URI (RFC 3986 §1.2.3) that reads in one way only: what
// servers are known to understand differently is refused.
type uri struct {
	scheme, host string // lower case
	port         string // as written; "" when left out
	path         string // decoded; begins with /
}

func (u *uri) String() string {
	host := u.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if u.port != "" {
		host += ":" + u.port
	}
	return (&url.URL{Scheme: u.scheme, Host: host, Path: u.path}).String()
}

// contains says whether v has u's scheme, host and port and a path that begins
// with u's, which ends in a slash. Ports are compared as written.
func (u *uri) contains(v *uri) bool {
	return u.scheme == v.scheme && u.host == v.host && u.port == v.port && strings.HasPrefix(v.path, u.path)
}

func parseURIPrefix(s string) (*uri, error) {
	if strings.ContainsAny(s, "?#") {
		return nil, errors.New("has a query or a fragment; leave it out")
	}
	u, err := parseURI(s)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(u.path, "/") {
		return nil, errors.New("does not end in /; end it at a path segment, like https://app.example/users/")
	}
	return u, nil
}

// parseURI reads scheme://host[:port]/path[?query]. User information, fragments,
// and ways to climb out of a path are refused.
func parseURI(s string) (*uri, error) {
	if len(s) > maxURI {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(s), maxURI)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '\\' {
			return nil, errors.New(`has a space, a backslash or a character outside ASCII; write it percent-encoded`)
		}
	}
	parsed, err := url.Parse(s)
	switch {
	case err != nil || parsed.Scheme == "" || parsed.Host == "" || parsed.Opaque != "":
		return nil, errors.New("is not scheme://host/path")
	case parsed.User != nil:
		return nil, errors.New("has user information (user@host); leave it out")
	case strings.Contains(s, "#"):
		return nil, errors.New("has a fragment; leave it out")
	}
	u := &uri{scheme: strings.ToLower(parsed.Scheme), port: parsed.Port(), path: parsed.Path}
	if u.host, err = parseURIHost(parsed); err != nil {
		return nil, err
	}
	if u.path == "" {
		u.path = "/"
	}
	return u, checkPath(parsed.EscapedPath(), u.path)
}

func parseURIHost(u *url.URL) (string, error) {
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != p {
			return "", fmt.Errorf("port %s is not 1 to 65535", shorten(p, 16))
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return "", errors.New("has a colon without a port")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.Zone() == "" {
		return addr.String(), nil
	}
	host, err := parseDomain(u.Hostname())
	if err != nil {
		return "", fmt.Errorf("host: %w", err)
	}
	return host, nil
}

// checkPath refuses dot segments, also with parameters ("..;x") or encoded, once
// or twice, and encoded slashes: "/users/%2e%2e/admin" is not below "/users/".
func checkPath(escaped, path string) error {
	lower := strings.ToLower(escaped)
	for _, e := range []string{"%2f", "%5c", "%25", "%00"} {
		if strings.Contains(lower, e) {
			return fmt.Errorf("path has %s, by which it could leave its prefix", e)
		}
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		name, _, _ := strings.Cut(s, ";")
		if name == "." || name == ".." {
			return errors.New("path has a dot segment, by which it could leave its prefix")
		}
		if name == "" && i < len(segments)-1 {
			return errors.New("path has an empty segment (//)")
		}
	}
	return nil
}

// showURI is a URI without path and query, which may speak of a person.
func showURI(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return "..."
	}
	return u.Scheme + "://" + u.Host + "/..."
}
