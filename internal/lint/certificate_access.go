package lint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

const oidSubjectInfoAccess = "1.3.6.1.5.5.7.1.11"

// keyIDRules and the rest of this file are over where a certificate points to.
var keyIDRules = []rule[*CertificateInput]{
	{"authority-key-id-present", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.1", "a certificate that another key signed has authorityKeyIdentifier with a keyIdentifier", func(c *CertificateInput) error {
		a, err := readAuthorityKeyID(c.Extensions)
		if err == nil && len(a.keyID) == 0 && (!c.selfIssued() || a.there) {
			err = errors.New("authorityKeyIdentifier has no keyIdentifier")
		}
		return err
	}},
	{"authority-key-id-matches", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.1", "the keyIdentifier is the issuer's subjectKeyIdentifier", func(c *CertificateInput) error {
		a, err := readAuthorityKeyID(c.Extensions)
		if err == nil && c.Issuer != nil && len(a.keyID) > 0 && len(c.Issuer.SubjectKeyId) > 0 && !bytes.Equal(a.keyID, c.Issuer.SubjectKeyId) {
			return errors.New("authorityKeyIdentifier is of another key than the issuer's")
		}
		return nil
	}},
	{"authority-key-id-pair", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.1, X.509 §9.2.2.1", "authorityCertIssuer and authorityCertSerialNumber come together", func(c *CertificateInput) error {
		if a, err := readAuthorityKeyID(c.Extensions); err == nil && a.issuer != a.serial {
			return errors.New("authorityKeyIdentifier has issuer or serial number without the other")
		}
		return nil
	}},
	{"authority-key-id-alone", SeverityNotice, kindsCertificate, "RFC 5280 §4.2.1.1 (allowed; it ties to one certificate of the CA)", "authorityKeyIdentifier has no issuer and serial number", func(c *CertificateInput) error {
		if a, err := readAuthorityKeyID(c.Extensions); err == nil && a.issuer && a.serial {
			return errors.New("authorityKeyIdentifier names the issuer's certificate and not only its key")
		}
		return nil
	}},
}

func (c *CertificateInput) points() ([]point, error) {
	e, ok := c.Find(pki.OIDCRLDistributionPoints)
	if !ok {
		return nil, nil
	}
	return distributionPoints(e.Value)
}

func (c *CertificateInput) eachPoint(f func(p point) error) error {
	list, err := c.points()
	if err != nil {
		return nil // crl-points-form
	}
	for _, p := range list {
		if err := f(p); err != nil {
			return fmt.Errorf("cRLDistributionPoints: %w", err)
		}
	}
	return nil
}

func pointRule(name string, severity Severity, source, demands string, f func(p point) error) rule[*CertificateInput] {
	return rule[*CertificateInput]{name, severity, kindsCertificate, source, demands, func(c *CertificateInput) error { return c.eachPoint(f) }}
}

var pointRules = []rule[*CertificateInput]{
	{"crl-points-form", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.13", "cRLDistributionPoints is a SEQUENCE of well-formed points", func(c *CertificateInput) error {
		_, err := c.points()
		return named("cRLDistributionPoints", err)
	}},
	{"crl-points-present", SeverityWarning, kindsCertificate, "RFC 5280 §4.2.1.13 (SHOULD)", "a certificate that can be revoked says where the CRL is", func(c *CertificateInput) error {
		_, noCheck := c.Find(pki.OIDOCSPNoCheck)
		if _, ok := c.Find(pki.OIDCRLDistributionPoints); !ok && !noCheck && !c.selfIssued() {
			return errors.New("has no cRLDistributionPoints")
		}
		return nil
	}},
	pointRule("crl-points-name-or-issuer", SeverityError, "RFC 5280 §4.2.1.13", "a point has a distributionPoint or a cRLIssuer", func(p point) error {
		if p.bare && !p.issuer {
			return errors.New("a point has neither distributionPoint nor cRLIssuer")
		}
		return nil
	}),
	pointRule("crl-points-relative", SeverityWarning, "RFC 5280 §4.2.1.13 (SHOULD NOT)", "no point has a name relative to the issuer", func(p point) error {
		if p.relative {
			return errors.New("a point has nameRelativeToCRLIssuer")
		}
		return nil
	}),
	pointRule("crl-points-reasons", SeverityWarning, "RFC 5280 §4.2.1.13 (RECOMMENDED against)", "no point is for some reasons alone", func(p point) error {
		if p.reasons {
			return errors.New("a point has reasons")
		}
		return nil
	}),
	pointRule("crl-points-uri", SeverityWarning, "RFC 5280 §4.2.1.13 (SHOULD http or ldap)", "a point can be fetched over http or ldap", func(p point) error { return eachURI(p.names, fetchable) }),
	pointRule("crl-points-ldap", SeverityError, "RFC 5280 §4.2.1.13", "an ldap URI names an entry and an attribute", func(p point) error { return eachURI(p.names, ldapComplete) }),
}

// access is one AccessDescription.
type access struct {
	method   string
	location element
}

func (c *CertificateInput) accesses(oid string) ([]access, error) {
	e, ok := c.Find(oid)
	if !ok {
		return nil, nil
	}
	return readAccesses(e.Value)
}

func readAccesses(value []byte) ([]access, error) {
	seq, err := sequence(value)
	if err != nil {
		return nil, err
	}
	var out []access
	for !seq.Empty() {
		var in cryptobyte.String
		var a access
		if !seq.ReadASN1(&in, cbasn1.SEQUENCE) {
			return nil, errors.New("has a malformed description")
		}
		var ok bool
		if a.method, ok = pki.ReadOID(&in); !ok {
			return nil, errors.New("has a description without a method")
		}
		names, err := generalNames(in)
		if err != nil || len(names) != 1 {
			return nil, errors.New("has a description without one location")
		}
		a.location = names[0]
		out = append(out, a)
	}
	return out, nil
}

var accessRules = []rule[*CertificateInput]{
	{"authority-access-form", SeverityError, kindsCertificate, "RFC 5280 §4.2.2.1", "authorityInfoAccess is a SEQUENCE of methods with a location each", func(c *CertificateInput) error {
		_, err := c.accesses(pki.OIDAuthorityInfoAccess)
		return named("authorityInfoAccess", err)
	}},
	{"authority-access-methods", SeverityWarning, kindsCertificate, "RFC 5280 §4.2.2.1", "the methods are OCSP and caIssuers", func(c *CertificateInput) error {
		list, _ := c.accesses(pki.OIDAuthorityInfoAccess)
		for _, a := range list {
			if a.method != pki.OIDAccessOCSP && a.method != pki.OIDAccessCAIssuers {
				return fmt.Errorf("access method is %s", a.method)
			}
		}
		return nil
	}},
	{"authority-access-uri", SeverityWarning, kindsCertificate, "RFC 5280 §4.2.2.1 (SHOULD http or ldap), RFC 6960 §3.1", "OCSP and caIssuers can be reached over http or ldap", func(c *CertificateInput) error {
		list, _ := c.accesses(pki.OIDAuthorityInfoAccess)
		for _, a := range list {
			if a.location.tag != nameURI {
				continue // a directory name
			}
			if err := fetchable(a.location.content); err != nil {
				return err
			}
		}
		return nil
	}},
	{"authority-access-once", SeverityNotice, kindsCertificate, "RFC 5280 §4.2.2.1", "no description is there twice", func(c *CertificateInput) error {
		list, _ := c.accesses(pki.OIDAuthorityInfoAccess)
		for i, a := range list {
			if slices.ContainsFunc(list[:i], func(b access) bool {
				return a.method == b.method && a.location.tag == b.location.tag && bytes.Equal(a.location.content, b.location.content)
			}) {
				return errors.New("a description is there twice")
			}
		}
		return nil
	}},
	{"authority-access-present", SeverityNotice, kindsEndEntity, "RFC 6960 §3.1 (how a client finds the responder)", "a certificate that can be asked for says where", func(c *CertificateInput) error {
		_, noCheck := c.Find(pki.OIDOCSPNoCheck)
		if _, ok := c.Find(pki.OIDAuthorityInfoAccess); !ok && !noCheck {
			return errors.New("has no authorityInfoAccess")
		}
		return nil
	}},
	{"subject-access-form", SeverityError, kindsCertificate, "RFC 5280 §4.2.2.2", "subjectInfoAccess is a SEQUENCE of methods with a location each", func(c *CertificateInput) error {
		_, err := c.accesses(oidSubjectInfoAccess)
		return named("subjectInfoAccess", err)
	}},
}

const oidIssuerAltName = "2.5.29.18"

func altNameRule(name string, severity Severity, source, demands string, f func(e element) error) rule[*CertificateInput] {
	return rule[*CertificateInput]{name, severity, kindsCertificate, source, demands, func(c *CertificateInput) error {
		for _, e := range altNames(c.Extensions, pki.OIDSubjectAltName) {
			if err := f(e); err != nil {
				return err
			}
		}
		return nil
	}}
}

func altNameForm(c *CertificateInput, oid string) error {
	e, ok := c.Find(oid)
	if !ok {
		return nil
	}
	seq, err := sequence(e.Value)
	if err == nil {
		_, err = generalNames(seq)
	}
	return err
}

var altNameRules = []rule[*CertificateInput]{
	{"alt-name-form", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.6", "subjectAltName is a SEQUENCE of GeneralNames", func(c *CertificateInput) error {
		return named("subjectAltName", altNameForm(c, pki.OIDSubjectAltName))
	}},
	altNameRule("alt-name-dns", SeverityError, "RFC 5280 §4.2.1.6, RFC 1034 §3.5", "a dNSName is a host name in ASCII, a wildcard as the first label", func(e element) error {
		if e.tag == nameDNS {
			if err := (pki.SubjectAltNames{DNS: []string{strings.TrimPrefix(string(e.content), "*.")}}).Validate(); err != nil {
				return fmt.Errorf("dNSName %.128q is no host name", e.content)
			}
		}
		return nil
	}),
	altNameRule("alt-name-mailbox", SeverityError, "RFC 5280 §4.2.1.6, RFC 5321 §4.1.2", "an rfc822Name is a mailbox, without a name or brackets", func(e element) error {
		if e.tag == nameMailbox {
			if err := (pki.SubjectAltNames{Email: []string{string(e.content)}}).Validate(); err != nil {
				return fmt.Errorf("rfc822Name %.128q is no mailbox", e.content)
			}
		}
		return nil
	}),
	altNameRule("alt-name-uri", SeverityError, "RFC 5280 §4.2.1.6", "a URI has a scheme and is in ASCII", func(e element) error {
		if scheme, rest, ok := bytes.Cut(e.content, []byte(":")); e.tag == nameURI && (!ok || len(scheme) == 0 || len(rest) == 0 || !asciiLetter(scheme[0]) ||
			bytes.ContainsFunc(e.content, func(r rune) bool { return r <= ' ' || r > '~' })) {
			return fmt.Errorf("%.128q is no absolute URI", e.content)
		}
		return nil
	}),
	altNameRule("alt-name-ip", SeverityError, "RFC 5280 §4.2.1.6", "an iPAddress has 4 or 16 octets", func(e element) error {
		if e.tag == nameIP && len(e.content) != 4 && len(e.content) != 16 {
			return fmt.Errorf("iPAddress has %d octets", len(e.content))
		}
		return nil
	}),
	{"alt-name-once", SeverityNotice, kindsCertificate, "RFC 5280 §4.2.1.6", "no name is there twice", func(c *CertificateInput) error {
		list := altNames(c.Extensions, pki.OIDSubjectAltName)
		for i, e := range list {
			if slices.ContainsFunc(list[:i], func(b element) bool { return e.tag == b.tag && bytes.Equal(e.content, b.content) }) {
				return errors.New("subjectAltName has a name twice")
			}
		}
		return nil
	}},
	{"server-auth-alt-name", SeverityWarning, kindsEndEntity, "RFC 6125 §6.4, RFC 2818 §3.1", "a server's certificate has a dNSName or iPAddress", func(c *CertificateInput) error {
		if c.hasUsage(oidServerAuth) && !hasName(c, nameDNS, nameIP) {
			return errors.New("has serverAuth and no dNSName or iPAddress in subjectAltName")
		}
		return nil
	}},
	{"email-protection-alt-name", SeverityWarning, kindsEndEntity, "RFC 8550 §3", "a certificate for mail has an rfc822Name", func(c *CertificateInput) error {
		if c.hasUsage(oidEmailProtection) && !hasName(c, nameMailbox) {
			return errors.New("has emailProtection and no rfc822Name in subjectAltName")
		}
		return nil
	}},
	{"issuer-alt-name-form", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.7", "issuerAltName is a SEQUENCE of GeneralNames", func(c *CertificateInput) error {
		return named("issuerAltName", altNameForm(c, oidIssuerAltName))
	}},
	{"issuer-alt-name-non-critical", SeverityWarning, kindsCertificate, "RFC 5280 §4.2.1.7 (SHOULD)", "issuerAltName is not critical", func(c *CertificateInput) error {
		return notCritical(c.Extensions, oidIssuerAltName, "issuerAltName")
	}},
}

func hasName(c *CertificateInput, tags ...cbasn1.Tag) bool {
	return slices.ContainsFunc(altNames(c.Extensions, pki.OIDSubjectAltName), func(e element) bool { return slices.Contains(tags, e.tag) })
}

func notCritical(extensions []Extension, oid, name string) error {
	if e, ok := find(extensions, oid); ok && e.Critical {
		return fmt.Errorf("%s is critical", name)
	}
	return nil
}

func isCritical(extensions []Extension, oid, name string) error {
	if e, ok := find(extensions, oid); ok && !e.Critical {
		return fmt.Errorf("%s is not critical", name)
	}
	return nil
}
