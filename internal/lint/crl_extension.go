package lint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

const oidDeltaCRLIndicator = "2.5.29.27"

// scope is IssuingDistributionPoint (RFC 5280 §5.2.5).
type scope struct {
	names                                           []element
	reasons, user, ca, indirect, attribute, relName bool
	bad                                             []byte // a BOOLEAN that is not TRUE
}

func (c *CRLInput) scope() (scope, error) {
	var s scope
	e, ok := c.Find(pki.OIDIssuingDistribution)
	if !ok {
		return s, nil
	}
	seq, err := sequence(e.Value)
	if err != nil {
		return s, err
	}
	if seq.PeekASN1Tag(explicit(0)) {
		var name cryptobyte.String
		var p point
		if !seq.ReadASN1(&name, explicit(0)) {
			return s, errors.New("has a malformed distributionPoint")
		}
		if err := p.readName(name); err != nil {
			return s, err
		}
		s.names, s.relName = p.names, p.relative
	}
	for _, f := range []struct {
		n    uint8
		into *bool
	}{{1, &s.user}, {2, &s.ca}, {3, &s.reasons}, {4, &s.indirect}, {5, &s.attribute}} {
		var v cryptobyte.String
		if !seq.ReadOptionalASN1(&v, f.into, cbasn1.Tag(f.n).ContextSpecific()) {
			return s, errors.New("has a malformed field")
		}
		if *f.into && f.n != 3 && !bytes.Equal(v, []byte{0xff}) {
			s.bad = v
			*f.into = len(v) == 1 && v[0] != 0
		}
	}
	if !seq.Empty() {
		return s, errors.New("has another field, or its fields in another order")
	}
	return s, nil
}

func scopeRule(name string, severity Severity, source, demands string, f func(c *CRLInput, s scope) error) rule[*CRLInput] {
	return rule[*CRLInput]{name, severity, kindsCRL, source, demands, func(c *CRLInput) error {
		s, err := c.scope()
		if err != nil {
			return nil // crl-scope-form
		}
		return named("issuingDistributionPoint", f(c, s))
	}}
}

var scopeRules = []rule[*CRLInput]{
	{"crl-scope-form", SeverityError, kindsCRL, "RFC 5280 §5.2.5", "issuingDistributionPoint is well-formed and not empty", func(c *CRLInput) error {
		_, err := c.scope()
		return named("issuingDistributionPoint", err)
	}},
	{"crl-scope-critical", SeverityError, kindsCRL, "RFC 5280 §5.2.5", "issuingDistributionPoint is critical", func(c *CRLInput) error {
		return isCritical(c.Extensions, pki.OIDIssuingDistribution, "issuingDistributionPoint")
	}},
	scopeRule("crl-scope-default", SeverityError, "X.690 §11.1, §11.5, RFC 5280 §5.2.5", "its BOOLEANs are FF, and left out when FALSE", func(_ *CRLInput, s scope) error {
		if s.bad != nil {
			return fmt.Errorf("has a BOOLEAN of %.8x", s.bad)
		}
		return nil
	}),
	scopeRule("crl-scope-one", SeverityError, "RFC 5280 §5.2.5", "a list is of user, CA or attribute certificates alone, one of these at most", func(_ *CRLInput, s scope) error {
		n := 0
		for _, b := range []bool{s.user, s.ca, s.attribute} {
			if b {
				n++
			}
		}
		if n > 1 {
			return errors.New("has more than one of onlyContainsUserCerts, onlyContainsCACerts and onlyContainsAttributeCerts")
		}
		return nil
	}),
	scopeRule("crl-scope-no-attribute", SeverityError, "RFC 5280 §5.2.5 (MUST be FALSE)", "it is no list of attribute certificates", func(_ *CRLInput, s scope) error {
		if s.attribute {
			return errors.New("has onlyContainsAttributeCerts")
		}
		return nil
	}),
	scopeRule("crl-scope-reasons", SeverityWarning, "RFC 5280 §5.2.5, §4.2.1.13 (RECOMMENDED against)", "it is not for some reasons alone", func(_ *CRLInput, s scope) error {
		if s.reasons {
			return errors.New("has onlySomeReasons")
		}
		return nil
	}),
	scopeRule("crl-scope-direct", SeverityNotice, "RFC 5280 §5 (indirect lists are allowed; few clients can use them)", "it is not an indirect list", func(_ *CRLInput, s scope) error {
		if s.indirect {
			return errors.New("has indirectCRL")
		}
		return nil
	}),
	scopeRule("crl-scope-relative", SeverityWarning, "RFC 5280 §5.2.5, §4.2.1.13 (SHOULD NOT)", "its point is not relative to the issuer", func(_ *CRLInput, s scope) error {
		if s.relName {
			return errors.New("has nameRelativeToCRLIssuer")
		}
		return nil
	}),
	scopeRule("crl-scope-uri", SeverityWarning, "RFC 5280 §5.2.5, §4.2.1.13", "its point can be fetched over http or ldap", func(_ *CRLInput, s scope) error { return eachURI(s.names, fetchable) }),
	{"arl-scope", SeverityError, KindARL, "RFC 5280 §5.2.5", "an ARL has onlyContainsCACerts", func(c *CRLInput) error {
		if s, err := c.scope(); err == nil && !s.ca {
			return errors.New("issuingDistributionPoint has no onlyContainsCACerts")
		}
		return nil
	}},
}

// maxListLifetime is ours: after it, revocations of a year ago may be unknown.
const maxListLifetime = 366 * 24 * time.Hour

var crlExtensionRules = []rule[*CRLInput]{
	{"crl-issuer-present", SeverityError, kindsCRL, "RFC 5280 §5.1.2.3", "issuer is a Name and not empty", func(c *CRLInput) error {
		list, err := attributes(c.IssuerDER)
		if err == nil && len(list) == 0 {
			err = errors.New("is empty")
		}
		return named("issuer", err)
	}},
	{"crl-lifetime", SeverityNotice, kindsCRL, "RFC 5280 §5.1.2.5 (the number is ours)", "nextUpdate is within a year of thisUpdate", func(c *CRLInput) error {
		this, next := c.ThisUpdate.moment(), c.NextUpdate.moment()
		if this.err == nil && next.err == nil && next.Sub(this.Time) > maxListLifetime {
			return fmt.Errorf("is valid for %d days", next.Sub(this.Time)/(24*time.Hour))
		}
		return nil
	}},
	{"crl-authority-key-id-present", SeverityError, kindsCRL, "RFC 5280 §5.2.1", "authorityKeyIdentifier is there, with a keyIdentifier", func(c *CRLInput) error {
		a, err := readAuthorityKeyID(c.Extensions)
		if err == nil && len(a.keyID) == 0 {
			err = errors.New("authorityKeyIdentifier has no keyIdentifier")
		}
		return err
	}},
	{"crl-authority-key-id-matches", SeverityError, kindsCRL, "RFC 5280 §5.2.1", "the keyIdentifier is the CA's subjectKeyIdentifier", func(c *CRLInput) error {
		a, err := readAuthorityKeyID(c.Extensions)
		if err == nil && c.Issuer != nil && len(a.keyID) > 0 && len(c.Issuer.SubjectKeyId) > 0 && !bytes.Equal(a.keyID, c.Issuer.SubjectKeyId) {
			return errors.New("authorityKeyIdentifier is of another key than the CA's")
		}
		return nil
	}},
	{"crl-authority-key-id-critical", SeverityError, kindsCRL, "RFC 5280 §5.2.1", "authorityKeyIdentifier is not critical", func(c *CRLInput) error {
		return notCritical(c.Extensions, pki.OIDAuthorityKeyID, "authorityKeyIdentifier")
	}},
	{"crl-number-critical", SeverityError, kindsCRL, "RFC 5280 §5.2.3", "cRLNumber is not critical", func(c *CRLInput) error {
		return notCritical(c.Extensions, pki.OIDCRLNumber, "cRLNumber")
	}},
	{"crl-issuer-alt-name-critical", SeverityWarning, kindsCRL, "RFC 5280 §5.2.2 (SHOULD)", "issuerAltName is not critical", func(c *CRLInput) error {
		return notCritical(c.Extensions, oidIssuerAltName, "issuerAltName")
	}},
	{"crl-authority-access", SeverityError, kindsCRL, "RFC 5280 §5.2.7", "authorityInfoAccess is not critical and has caIssuers alone", func(c *CRLInput) error {
		e, ok := c.Find(pki.OIDAuthorityInfoAccess)
		if !ok {
			return nil
		}
		list, err := readAccesses(e.Value)
		if err == nil && (e.Critical || slices.ContainsFunc(list, func(a access) bool { return a.method != pki.OIDAccessCAIssuers })) {
			err = errors.New("is critical, or has another method than caIssuers")
		}
		return named("authorityInfoAccess", err)
	}},
	{"crl-critical-known", SeverityError, kindsCRL, "RFC 5280 §5.2", "no extension that clients do not know is critical", func(c *CRLInput) error {
		for _, e := range c.Extensions {
			if e.Critical && !slices.Contains(crlKnown, e.OID) {
				return fmt.Errorf("extension %s is critical", e.OID)
			}
		}
		return nil
	}},
	{"crl-extension-critical-default", SeverityError, kindsCRL, "X.690 §11.5", "critical FALSE is left out, as a default is in DER", func(c *CRLInput) error { return criticalDefault(c.raw) }},
	{"crl-signature-minimal", SeverityError, kindsCRL, "GM/T 0009-2012 §7.3, X.690 §8.3.2", "r and s are in the fewest octets", func(c *CRLInput) error { return signatureMinimal(c.Signature) }},
	{"crl-signature-range", SeverityError, kindsCRL, "GB/T 32918.2-2016 §7.1", "r and s are below the order of the curve", func(c *CRLInput) error { return signatureInRange(c.Signature) }},
	{"crl-signature-verifies", SeverityError, kindsCRL, "RFC 5280 §6.3.3 (g), GM/T 0009-2012 §10", "the signature verifies under the CA's key, when that is known", func(c *CRLInput) error {
		if c.Issuer == nil || !pki.IsSignatureAlgorithm(c.InnerAlgorithm) {
			return nil
		}
		return signatureVerifies(c.raw, c.Signature, c.Issuer.RawSubjectPublicKeyInfo)
	}},
}

var crlKnown = []string{pki.OIDAuthorityKeyID, oidIssuerAltName, pki.OIDCRLNumber, oidDeltaCRLIndicator, pki.OIDIssuingDistribution, oidFreshestCRL, pki.OIDAuthorityInfoAccess}

// positive reads one INTEGER above 0.
func positive(value []byte) ([]byte, bool) {
	in := cryptobyte.String(value)
	var n cryptobyte.String
	ok := in.ReadASN1(&n, cbasn1.INTEGER) && in.Empty() && serialPositive(n) == nil
	return n, ok
}

var deltaRules = []rule[*CRLInput]{
	{"crl-delta-form", SeverityError, kindsCRL, "RFC 5280 §5.2.4", "deltaCRLIndicator is the number of the base, above 0", func(c *CRLInput) error {
		if e, ok := c.Find(oidDeltaCRLIndicator); ok {
			if _, ok := positive(e.Value); !ok {
				return errors.New("deltaCRLIndicator is no number above 0")
			}
		}
		return nil
	}},
	{"crl-delta-critical", SeverityError, kindsCRL, "RFC 5280 §5.2.4", "deltaCRLIndicator is critical", func(c *CRLInput) error {
		return isCritical(c.Extensions, oidDeltaCRLIndicator, "deltaCRLIndicator")
	}},
	{"crl-delta-base", SeverityError, kindsCRL, "RFC 5280 §5.2.4", "the base's number is below the delta's", func(c *CRLInput) error {
		e, ok := c.Find(oidDeltaCRLIndicator)
		n, ok2 := c.Find(pki.OIDCRLNumber)
		base, ok3 := positive(e.Value)
		number, ok4 := positive(n.Value)
		if ok && ok2 && ok3 && ok4 && compareSerials(base, number) >= 0 {
			return errors.New("the base's number is not below cRLNumber")
		}
		return nil
	}},
	{"crl-delta-present", SeverityError, KindDeltaCRL, "RFC 5280 §5.2.4", "a delta has deltaCRLIndicator", func(c *CRLInput) error {
		if _, ok := c.Find(oidDeltaCRLIndicator); !ok {
			return errors.New("has no deltaCRLIndicator")
		}
		return nil
	}},
	{"crl-delta-no-freshest", SeverityError, kindsCRL, "RFC 5280 §5.2.6", "a delta has no freshestCRL", func(c *CRLInput) error {
		_, delta := c.Find(oidDeltaCRLIndicator)
		if _, ok := c.Find(oidFreshestCRL); ok && delta {
			return errors.New("a delta has freshestCRL")
		}
		return nil
	}},
	{"crl-freshest-form", SeverityError, kindsCRL, "RFC 5280 §5.2.6", "freshestCRL is points with a distributionPoint alone", func(c *CRLInput) error {
		e, ok := c.Find(oidFreshestCRL)
		if !ok {
			return nil
		}
		list, err := distributionPoints(e.Value)
		if err == nil && slices.ContainsFunc(list, func(p point) bool { return p.bare || p.reasons || p.issuer }) {
			err = errors.New("has a point with reasons or cRLIssuer, or without distributionPoint")
		}
		return named("freshestCRL", err)
	}},
	{"crl-freshest-critical", SeverityError, kindsCRL, "RFC 5280 §5.2.6", "freshestCRL is not critical", func(c *CRLInput) error {
		return notCritical(c.Extensions, oidFreshestCRL, "freshestCRL")
	}},
}
