package lint

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// aki has authorityKeyIdentifier with more than the identifier.
func aki(more ...byte) func(t *testing.T) []Finding {
	return broken(func(t *testing.T, c *CertificateInput) {
		id := tlv(t, cbasn1.Tag(0).ContextSpecific(), c.Issuer.SubjectKeyId)
		c.set(Extension{pki.OIDAuthorityKeyID, false, tlv(t, cbasn1.SEQUENCE, slices.Concat(id, more))})
	})
}

// onePoint has a CRL point of these bytes.
func onePoint(content func(t *testing.T) []byte) func(t *testing.T) []Finding {
	return broken(func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDCRLDistributionPoints, false, tlv(t, cbasn1.SEQUENCE, tlv(t, cbasn1.SEQUENCE, content(t)))})
	})
}

func pointAt(t *testing.T, uri string) []byte {
	return der(t, func(b *cryptobyte.Builder) { pki.AddDistributionPointName(b, uri) })
}

func altName(tag cbasn1.Tag, values ...string) func(t *testing.T) []Finding {
	return broken(func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDSubjectAltName, false, tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
			for _, v := range values {
				b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(v)) })
			}
		}))})
	})
}

func accessOf(method, uri string) func(t *testing.T) []Finding {
	return broken(func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDAuthorityInfoAccess, false, accessDER(t, method, uri)})
	})
}

var accessTrips = map[string]func(t *testing.T) []Finding{
	"authority-key-id-present": broken(func(_ *testing.T, c *CertificateInput) { c.Extensions = drop(c.Extensions, pki.OIDAuthorityKeyID) }),
	"authority-key-id-matches": broken(func(t *testing.T, c *CertificateInput) { c.set(keyIDs(t, spki(t, 11), c.SPKI)[0]) }),
	"authority-key-id-pair":    aki(0x82, 1, 1),
	"authority-key-id-alone":   aki(0xa1, 4, 0x82, 2, 'a', 'b', 0x82, 1, 1),

	"crl-points-form": with(pki.OIDCRLDistributionPoints, false, 0x30, 0),
	"crl-points-present": broken(func(_ *testing.T, c *CertificateInput) {
		c.Extensions = drop(c.Extensions, pki.OIDCRLDistributionPoints)
	}),
	"crl-points-name-or-issuer": onePoint(func(*testing.T) []byte { return nil }),
	"crl-points-relative":       onePoint(func(*testing.T) []byte { return []byte{0xa0, 2, 0xa1, 0} }),
	"crl-points-reasons": onePoint(func(t *testing.T) []byte {
		return append(pointAt(t, "http://crl/1.crl"), 0x81, 2, 6, 0x40)
	}),
	"crl-points-uri":       onePoint(func(t *testing.T) []byte { return pointAt(t, "ftp://crl/1.crl") }),
	"crl-points-uri/https": onePoint(func(t *testing.T) []byte { return pointAt(t, "https://crl/1.crl") }),
	"crl-points-ldap":      onePoint(func(t *testing.T) []byte { return pointAt(t, "ldap://crl/cn=1") }),

	"authority-access-form":    with(pki.OIDAuthorityInfoAccess, false, 0x30, 0),
	"authority-access-methods": accessOf("1.2.3", "http://a/"),
	"authority-access-uri":     accessOf(pki.OIDAccessOCSP, "https://ocsp/"),
	"authority-access-once": broken(func(t *testing.T, c *CertificateInput) {
		one := accessDER(t, pki.OIDAccessOCSP, "http://ocsp/")[2:]
		c.set(Extension{pki.OIDAuthorityInfoAccess, false, tlv(t, cbasn1.SEQUENCE, slices.Concat(one, one))})
	}),
	"authority-access-present": broken(func(_ *testing.T, c *CertificateInput) {
		c.Extensions = drop(c.Extensions, pki.OIDAuthorityInfoAccess)
	}),
	"subject-access-form": with(oidSubjectInfoAccess, false, 0x30, 0),

	"alt-name-form":    with(pki.OIDSubjectAltName, false, 0x30, 0),
	"alt-name-dns":     altName(nameDNS, "a_b.example"),
	"alt-name-mailbox": altName(nameMailbox, "<a@b.cn>"),
	"alt-name-uri":     altName(nameURI, "//a/b"),
	"alt-name-ip":      altName(nameIP, "12345"),
	"alt-name-once":    altName(nameDNS, "a.example", "a.example"),
	"server-auth-alt-name": broken(func(t *testing.T, c *CertificateInput) {
		c.Extensions = drop(c.Extensions, pki.OIDSubjectAltName)
		c.set(extKeyUsage(t, false, oidServerAuth))
	}),
	"email-protection-alt-name":    broken(func(t *testing.T, c *CertificateInput) { c.set(extKeyUsage(t, false, oidEmailProtection)) }),
	"issuer-alt-name-form":         with(oidIssuerAltName, false, 0x30, 0),
	"issuer-alt-name-non-critical": with(oidIssuerAltName, true, 0x30, 3, 0x82, 1, 'a'),
}

func policies(content func(t *testing.T) []byte) func(t *testing.T) []Finding {
	return broken(func(t *testing.T, c *CertificateInput) {
		c.set(Extension{oidCertificatePolicies, false, tlv(t, cbasn1.SEQUENCE, content(t))})
	})
}

// onePolicy is a policy with a qualifier.
func onePolicy(oid string, value func(t *testing.T) []byte) func(t *testing.T) []Finding {
	return policies(func(t *testing.T) []byte {
		return tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte{6, 2, 0x2a, 3})
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					id, err := pki.ParseOID(oid)
					if err != nil {
						t.Fatal(err)
					}
					b.AddASN1ObjectIdentifier(id)
					b.AddBytes(value(t))
				})
			})
		}))
	})
}

func notice(tag cbasn1.Tag, text string) func(t *testing.T) []Finding {
	return onePolicy(oidQualifierNotice, func(t *testing.T) []byte { return tlv(t, cbasn1.SEQUENCE, tlv(t, tag, []byte(text))) })
}

var policyTrips = map[string]func(t *testing.T) []Finding{
	"policies-form": policies(func(*testing.T) []byte { return nil }),
	"policies-once": policies(func(*testing.T) []byte { return []byte{0x30, 4, 6, 2, 0x2a, 3, 0x30, 4, 6, 2, 0x2a, 3} }),
	"policies-qualifiers": onePolicy("1.2.3", func(*testing.T) []byte {
		return []byte{5, 0}
	}),
	"policies-cps-uri":                  onePolicy(oidQualifierCPS, func(t *testing.T) []byte { return tlv(t, cbasn1.IA5String, []byte("cps")) }),
	"policies-notice-text":              notice(cbasn1.UTF8String, strings.Repeat("张", 201)),
	"policies-notice-string":            notice(cbasn1.IA5String, "a"),
	"policy-mappings-form":              caWith(oidPolicyMappings, true, 0x30, 0),
	"policy-mappings-form/any":          caWith(oidPolicyMappings, true, 0x30, 12, 0x30, 10, 6, 4, 0x55, 0x1d, 0x20, 0, 6, 2, 0x2a, 3),
	"policy-mappings-critical":          caWith(oidPolicyMappings, false, 0x30, 10, 0x30, 8, 6, 2, 0x2a, 3, 6, 2, 0x2a, 4),
	"policy-constraints-critical":       caWith(oidPolicyConstraints, false, 0x30, 3, 0x80, 1, 0),
	"policy-constraints-form":           caWith(oidPolicyConstraints, true, 0x30, 0),
	"inhibit-any-policy-critical":       caWith(oidInhibitAnyPolicy, false, 2, 1, 0),
	"inhibit-any-policy-form":           caWith(oidInhibitAnyPolicy, true, 2, 1, 0xff),
	"name-constraints-critical":         caWith(oidNameConstraints, false, 0x30, 7, 0xa0, 5, 0x30, 3, 0x82, 1, 'a'),
	"name-constraints-form":             caWith(oidNameConstraints, true, 0x30, 0),
	"constraints-for-ca":                with(oidInhibitAnyPolicy, true, 2, 1, 0),
	"directory-attributes-non-critical": with(oidSubjectDirectoryAttributes, true, 0x30, 0),
	"private-key-usage-period":          with(oidPrivateKeyUsagePeriod, false, 0x30, 0),
}

var identityTrips = map[string]func(t *testing.T) []Finding{
	"extensions-present": func(t *testing.T) []Finding {
		c := subscriber(t)
		c.Extensions = nil
		// A certificate without extensions breaks other rules by that.
		return only("extensions-present", examined(t, c))
	},
	"extension-critical-default": func(t *testing.T) []Finding {
		c := subscriber(t)
		c.set(Extension{private, true, []byte{5, 0}})
		raw := unmarked(certificateDER(t, c))
		return ExamineCertificate(sign(t, raw, issuerD), c.Context, 0)
	},
	"basic-constraints-default": with(pki.OIDBasicConstraints, true, 0x30, 3, 1, 1, 0),
	"critical-extension-known":  with("2.5.29.99", true, 5, 0),
	"netscape-extensions":       with("2.16.840.1.113730.1.1", false, 3, 2, 0, 1),

	"identity-string":              with(oidTaxationNumber, false, 0x0c, 1, 'a'),
	"identity-organization-string": with(oidOrganizationCode, false, 0x0c, 1, 'a'),
	"identity-known":               with(identityArc+"6", false, 0x13, 1, 'a'),
	"identity-legacy":              with("1.2.86.11.7.1", false, 0x13, 1, 'a'),
	"identity-not-of-ca":           caWith(oidTaxationNumber, false, 0x13, 1, 'a'),
	"identity-card-number": broken(func(t *testing.T, c *CertificateInput) {
		value := tlv(t, explicit(0), tlv(t, cbasn1.PrintableString, []byte("110105194912310021")))
		c.set(Extension{oidIdentifyCode, false, value})
	}),
}

// only keeps the findings of one rule.
func only(name string, found []Finding) []Finding {
	return slices.DeleteFunc(found, func(f Finding) bool { return f.Check != name })
}

// unmarked writes out that the critical private extension is not critical.
func unmarked(raw []byte) []byte {
	marked := []byte{6, 3, 0x2a, 3, 4, 1, 1, 0xff}
	return bytes.Replace(raw, marked, append(slices.Clone(marked[:7]), 0), 1)
}
