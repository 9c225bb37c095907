package issuance_test

import (
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// addExtensions writes every extension, always in the same order, so that equal
// orders give equal bytes.
func (c *reference) addExtensions(b *cryptobyte.Builder) {
	add := func(oid string, critical bool, value func(*cryptobyte.Builder)) {
		var v cryptobyte.Builder
		value(&v)
		der, err := v.Bytes()
		if err != nil {
			b.SetError(err)
			return
		}
		pki.AddExtension(b, oid, critical, der)
	}
	bytesOf := func(der []byte, err error) func(*cryptobyte.Builder) {
		return func(v *cryptobyte.Builder) {
			if err != nil {
				v.SetError(err)
				return
			}
			v.AddBytes(der)
		}
	}
	add(pki.OIDAuthorityKeyID, false, bytesOf(pki.AuthorityKeyIDDER(c.issuerKeyID)))
	add(pki.OIDSubjectKeyID, false, func(v *cryptobyte.Builder) { v.AddASN1OctetString(pki.KeyID(c.spki)) })
	if c.Profile.CA != nil {
		add(pki.OIDBasicConstraints, true, c.addBasicConstraints)
	}
	add(pki.OIDKeyUsage, true, func(v *cryptobyte.Builder) {
		v.AddASN1(cbasn1.BIT_STRING, func(v *cryptobyte.Builder) { v.AddBytes(c.Profile.KeyUsage.BitString()) })
	})
	if len(c.Profile.ExtKeyUsage) > 0 {
		add(pki.OIDExtKeyUsage, c.Profile.ExtKeyUsageCritical, c.addExtKeyUsage)
	}
	if c.SubjectAltNames.Len() > 0 {
		// RFC 5280 §4.2.1.6: critical when it is all that names the subject.
		add(pki.OIDSubjectAltName, c.subject.IsEmpty(), bytesOf(c.SubjectAltNames.DER()))
	}
	if len(c.IssuerURLs.CRL) > 0 {
		add(pki.OIDCRLDistributionPoints, false, func(v *cryptobyte.Builder) { addDistributionPoints(v, c.IssuerURLs.CRL) })
	}
	if len(c.IssuerURLs.FreshestCRL) > 0 {
		add(pki.OIDFreshestCRL, false, func(v *cryptobyte.Builder) { addDistributionPoints(v, c.IssuerURLs.FreshestCRL) })
	}
	if len(c.IssuerURLs.OCSP)+len(c.IssuerURLs.CAIssuers) > 0 {
		add(pki.OIDAuthorityInfoAccess, false, c.addAuthorityInfoAccess)
	}
	if c.Profile.OCSPNoCheck {
		add(pki.OIDOCSPNoCheck, false, func(v *cryptobyte.Builder) { v.AddASN1NULL() })
	}
	for _, e := range c.Profile.IdentityExtensions {
		if value, ok := c.Identity[e.Name]; ok {
			add(e.OID, false, bytesOf(e.DER(value)))
		}
	}
}

func (c *reference) addBasicConstraints(v *cryptobyte.Builder) {
	v.AddASN1(cbasn1.SEQUENCE, func(v *cryptobyte.Builder) {
		v.AddASN1Boolean(true)
		v.AddASN1Int64(int64(c.Profile.CA.PathLen))
	})
}

func (c *reference) addExtKeyUsage(v *cryptobyte.Builder) {
	v.AddASN1(cbasn1.SEQUENCE, func(v *cryptobyte.Builder) {
		for _, s := range c.Profile.ExtKeyUsage {
			oid, err := pki.ParseOID(s)
			if err != nil {
				v.SetError(err)
				return
			}
			v.AddASN1ObjectIdentifier(oid)
		}
	})
}

// addDistributionPoints writes one point whose URIs all lead to the same CRL
// (RFC 5280 §4.2.1.13, §4.2.1.15).
func addDistributionPoints(v *cryptobyte.Builder, urls []string) {
	v.AddASN1(cbasn1.SEQUENCE, func(v *cryptobyte.Builder) {
		v.AddASN1(cbasn1.SEQUENCE, func(v *cryptobyte.Builder) {
			pki.AddDistributionPointName(v, urls...)
		})
	})
}

func (c *reference) addAuthorityInfoAccess(v *cryptobyte.Builder) {
	v.AddASN1(cbasn1.SEQUENCE, func(v *cryptobyte.Builder) {
		for _, access := range []struct {
			method string
			urls   []string
		}{{pki.OIDAccessOCSP, c.IssuerURLs.OCSP}, {pki.OIDAccessCAIssuers, c.IssuerURLs.CAIssuers}} {
			for _, u := range access.urls {
				v.AddASN1(cbasn1.SEQUENCE, func(v *cryptobyte.Builder) {
					oid, err := pki.ParseOID(access.method)
					if err != nil {
						v.SetError(err)
						return
					}
					v.AddASN1ObjectIdentifier(oid)
					v.AddASN1(cbasn1.Tag(6).ContextSpecific(), func(v *cryptobyte.Builder) { v.AddBytes([]byte(u)) })
				})
			}
		}
	})
}
