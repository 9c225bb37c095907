package lint

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	oidSubjectDirectoryAttributes = "2.5.29.9"
	oidPrivateKeyUsagePeriod      = "2.5.29.16"
	oidNameConstraints            = "2.5.29.30"
	oidCertificatePolicies        = "2.5.29.32"
	oidAnyPolicy                  = "2.5.29.32.0"
	oidPolicyMappings             = "2.5.29.33"
	oidPolicyConstraints          = "2.5.29.36"
	oidInhibitAnyPolicy           = "2.5.29.54"

	oidQualifierCPS    = "1.3.6.1.5.5.7.2.1"
	oidQualifierNotice = "1.3.6.1.5.5.7.2.2"

	maxExplicitText = 200 // characters, RFC 5280 §4.2.1.4
)

// policy is one PolicyInformation.
type policy struct {
	oid        string
	qualifiers []qualifier
}

type qualifier struct {
	oid   string
	value cryptobyte.String // the element
}

func (c *CertificateInput) policies() ([]policy, error) {
	e, ok := c.Find(oidCertificatePolicies)
	if !ok {
		return nil, nil
	}
	seq, err := sequence(e.Value)
	if err != nil {
		return nil, err
	}
	var out []policy
	for !seq.Empty() {
		var in, list cryptobyte.String
		var there bool
		var p policy
		if !seq.ReadASN1(&in, cbasn1.SEQUENCE) {
			return nil, errors.New("has a malformed policy")
		}
		if p.oid, ok = pki.ReadOID(&in); !ok || !in.ReadOptionalASN1(&list, &there, cbasn1.SEQUENCE) || !in.Empty() || there && list.Empty() {
			return nil, errors.New("has a malformed policy")
		}
		for !list.Empty() {
			var q qualifier
			var one cryptobyte.String
			var tag cbasn1.Tag
			if !list.ReadASN1(&one, cbasn1.SEQUENCE) {
				return nil, errors.New("has a malformed qualifier")
			}
			if q.oid, ok = pki.ReadOID(&one); !ok || !one.ReadAnyASN1Element(&q.value, &tag) || !one.Empty() {
				return nil, errors.New("has a malformed qualifier")
			}
			p.qualifiers = append(p.qualifiers, q)
		}
		out = append(out, p)
	}
	return out, nil
}

func (c *CertificateInput) eachQualifier(f func(q qualifier) error) error {
	list, _ := c.policies()
	for _, p := range list {
		for _, q := range p.qualifiers {
			if err := f(q); err != nil {
				return fmt.Errorf("policy %s: %w", p.oid, err)
			}
		}
	}
	return nil
}

var policyRules = []rule[*CertificateInput]{
	{"policies-form", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.4", "certificatePolicies is a SEQUENCE of policies", func(c *CertificateInput) error {
		_, err := c.policies()
		return named("certificatePolicies", err)
	}},
	{"policies-once", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.4", "a policy is there once", func(c *CertificateInput) error {
		list, _ := c.policies()
		for i, p := range list {
			if slices.ContainsFunc(list[:i], func(b policy) bool { return b.oid == p.oid }) {
				return fmt.Errorf("policy %s is there twice", p.oid)
			}
		}
		return nil
	}},
	{"policies-qualifiers", SeverityWarning, kindsCertificate, "RFC 5280 §4.2.1.4", "qualifiers are CPS pointers and user notices", func(c *CertificateInput) error {
		return c.eachQualifier(func(q qualifier) error {
			if q.oid != oidQualifierCPS && q.oid != oidQualifierNotice {
				return fmt.Errorf("has qualifier %s", q.oid)
			}
			return nil
		})
	}},
	{"policies-cps-uri", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.4", "a CPS pointer is a URI in IA5String", func(c *CertificateInput) error {
		return c.eachQualifier(func(q qualifier) error {
			if q.oid != oidQualifierCPS {
				return nil
			}
			in := q.value
			var uri cryptobyte.String
			if !in.ReadASN1(&uri, cbasn1.IA5String) || !in.Empty() || pki.CheckURIBytes(uri) != nil {
				return errors.New("CPS pointer is no http(s) URI in IA5String")
			}
			return nil
		})
	}},
	{"policies-notice-text", SeverityWarning, kindsCertificate, "RFC 5280 §4.2.1.4", "explicitText has at most 200 characters", func(c *CertificateInput) error {
		return c.eachQualifier(func(q qualifier) error {
			if q.oid != oidQualifierNotice {
				return nil
			}
			return walk(q.value, 0, func(e element) error {
				if e.tag == cbasn1.UTF8String && utf8.RuneCount(e.content) > maxExplicitText {
					return fmt.Errorf("explicitText has %d characters", utf8.RuneCount(e.content))
				}
				return nil
			})
		})
	}},
	{"policies-notice-string", SeverityError, kindsCertificate, "RFC 6818 §3 (in place of RFC 5280 §4.2.1.4)", "explicitText is not IA5String, and better UTF8String", func(c *CertificateInput) error {
		return c.eachQualifier(func(q qualifier) error {
			if q.oid != oidQualifierNotice {
				return nil
			}
			return walk(q.value, 0, func(e element) error {
				if e.tag == cbasn1.IA5String {
					return errors.New("user notice has an IA5String")
				}
				return nil
			})
		})
	}},
	{"policy-mappings-form", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.5", "policyMappings is pairs of policies, none of them anyPolicy", func(c *CertificateInput) error {
		e, ok := c.Find(oidPolicyMappings)
		if !ok {
			return nil
		}
		seq, err := sequence(e.Value)
		for err == nil && !seq.Empty() {
			var pair cryptobyte.String
			if !seq.ReadASN1(&pair, cbasn1.SEQUENCE) {
				return errors.New("policyMappings has a malformed pair")
			}
			from, ok1 := pki.ReadOID(&pair)
			to, ok2 := pki.ReadOID(&pair)
			if !ok1 || !ok2 || !pair.Empty() || from == oidAnyPolicy || to == oidAnyPolicy {
				return errors.New("policyMappings has a malformed pair, or one with anyPolicy")
			}
		}
		return named("policyMappings", err)
	}},
	{"policy-mappings-critical", SeverityWarning, kindsCertificate, "RFC 5280 §4.2.1.5 (SHOULD)", "policyMappings is critical", func(c *CertificateInput) error {
		return isCritical(c.Extensions, oidPolicyMappings, "policyMappings")
	}},
	{"policy-constraints-critical", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.11", "policyConstraints is critical", func(c *CertificateInput) error {
		return isCritical(c.Extensions, oidPolicyConstraints, "policyConstraints")
	}},
	{"policy-constraints-form", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.11", "policyConstraints is not empty", func(c *CertificateInput) error {
		e, ok := c.Find(oidPolicyConstraints)
		if !ok {
			return nil
		}
		_, err := sequence(e.Value)
		return named("policyConstraints", err)
	}},
	{"inhibit-any-policy-critical", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.14", "inhibitAnyPolicy is critical", func(c *CertificateInput) error {
		return isCritical(c.Extensions, oidInhibitAnyPolicy, "inhibitAnyPolicy")
	}},
	{"inhibit-any-policy-form", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.14", "inhibitAnyPolicy is a number from 0", func(c *CertificateInput) error {
		e, ok := c.Find(oidInhibitAnyPolicy)
		if !ok {
			return nil
		}
		in := cryptobyte.String(e.Value)
		var n cryptobyte.String
		if !in.ReadASN1(&n, cbasn1.INTEGER) || !in.Empty() || len(n) == 0 || n[0] >= 0x80 {
			return errors.New("inhibitAnyPolicy is no number from 0")
		}
		return nil
	}},
	{"name-constraints-critical", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.10", "nameConstraints is critical", func(c *CertificateInput) error {
		return isCritical(c.Extensions, oidNameConstraints, "nameConstraints")
	}},
	{"name-constraints-form", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.10", "nameConstraints permits or excludes something", func(c *CertificateInput) error {
		e, ok := c.Find(oidNameConstraints)
		if !ok {
			return nil
		}
		_, err := sequence(e.Value)
		return named("nameConstraints", err)
	}},
	{"constraints-for-ca", SeverityError, kindsEndEntity, "RFC 5280 §4.2.1.5, §4.2.1.10, §4.2.1.11, §4.2.1.14", "only CAs have name or policy constraints and policy mappings", func(c *CertificateInput) error {
		for _, oid := range []string{oidNameConstraints, oidPolicyMappings, oidPolicyConstraints, oidInhibitAnyPolicy} {
			if _, ok := c.Find(oid); ok {
				return fmt.Errorf("an end entity has extension %s", oid)
			}
		}
		return nil
	}},
	{"directory-attributes-non-critical", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.8", "subjectDirectoryAttributes is not critical", func(c *CertificateInput) error {
		return notCritical(c.Extensions, oidSubjectDirectoryAttributes, "subjectDirectoryAttributes")
	}},
	{"private-key-usage-period", SeverityNotice, kindsCertificate, "RFC 3280 §4.2.1.4 (dropped by RFC 5280); GB/T 20518 lists it (secondary)", "privateKeyUsagePeriod is left out", func(c *CertificateInput) error {
		if _, ok := c.Find(oidPrivateKeyUsagePeriod); ok {
			return errors.New("has privateKeyUsagePeriod")
		}
		return nil
	}},
}
