package issuance

import (
	"github.com/terrace-pki/terrace/internal/pki"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// addExtensions writes every extension, always in the same order, so that equal
// orders give equal bytes.
func (c *content) addExtensions(e *pki.Encoder) {
	if c.authorityKeyID != nil {
		e.Raw(c.authorityKeyID)
	} else {
		addAuthorityKeyID(e, c.keyID)
	}
	e.Extension(pki.OIDSubjectKeyID, false, func() { e.Octets(cbasn1.OCTET_STRING, c.keyID) })
	e.Raw(c.fixed)
	if c.SubjectAltNames.Len() > 0 {
		// RFC 5280 §4.2.1.6: critical when it is all that names the subject.
		e.Extension(pki.OIDSubjectAltName, c.subject.IsEmpty(), func() { e.SubjectAltNames(c.SubjectAltNames) })
	}
	if len(c.IssuerURLs.CRL) > 0 {
		e.Extension(pki.OIDCRLDistributionPoints, false, func() { addDistributionPoints(e, c.IssuerURLs.CRL) })
	}
	if len(c.IssuerURLs.FreshestCRL) > 0 {
		e.Extension(pki.OIDFreshestCRL, false, func() { addDistributionPoints(e, c.IssuerURLs.FreshestCRL) })
	}
	if len(c.IssuerURLs.OCSP)+len(c.IssuerURLs.CAIssuers) > 0 {
		e.Extension(pki.OIDAuthorityInfoAccess, false, func() { c.addAuthorityInfoAccess(e) })
	}
	if c.profile.OCSPNoCheck {
		e.Extension(pki.OIDOCSPNoCheck, false, func() { e.Octets(cbasn1.NULL, nil) })
	}
	for _, i := range c.profile.IdentityExtensions {
		if value, ok := c.Identity[i.Name]; ok {
			e.Extension(i.OID, false, func() { e.Identity(i, value) })
		}
	}
}

// tagURI is uniformResourceIdentifier of a GeneralName.
const tagURI = cbasn1.Tag(6 | 0x80)

// addDistributionPoints writes one point whose URIs all lead to the same CRL
// (RFC 5280 §4.2.1.13, §4.2.1.15).
func addDistributionPoints(e *pki.Encoder, urls []string) {
	name := cbasn1.Tag(0).ContextSpecific().Constructed() // distributionPoint, and fullName in it
	e.Nest(cbasn1.SEQUENCE, func() {
		e.Nest(cbasn1.SEQUENCE, func() {
			e.Nest(name, func() {
				e.Nest(name, func() {
					for _, u := range urls {
						e.Text(tagURI, u)
					}
				})
			})
		})
	})
}

func (c *content) addAuthorityInfoAccess(e *pki.Encoder) {
	add := func(method string, urls []string) {
		for _, u := range urls {
			e.Nest(cbasn1.SEQUENCE, func() {
				e.OID(method)
				e.Text(tagURI, u)
			})
		}
	}
	e.Nest(cbasn1.SEQUENCE, func() {
		add(pki.OIDAccessOCSP, c.IssuerURLs.OCSP)
		add(pki.OIDAccessCAIssuers, c.IssuerURLs.CAIssuers)
	})
}
