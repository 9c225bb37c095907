package issuance

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxURLs bounds each list of an order's URLs.
const maxURLs = 8

// content is an order whose every field was checked and computed.
type content struct {
	Order
	spki                []byte
	subject             pki.Name
	issuerName          []byte
	issuerKey           *ecdsa.PublicKey
	issuerKeyID         []byte
	notBefore, notAfter time.Time
}

func newContent(o Order) (*content, error) {
	if err := o.Profile.Validate(); err != nil {
		return nil, err
	}
	if o.Serial == "" {
		return nil, errors.New("serial: is missing; reserve one in the ledger")
	}
	if o.Now.IsZero() {
		return nil, errors.New("now: is zero")
	}
	if err := o.Profile.CheckSubjectAltNames(o.SubjectAltNames); err != nil {
		return nil, err
	}
	if err := o.Profile.CheckIdentity(o.Identity); err != nil {
		return nil, err
	}
	if err := checkURLs(o.IssuerURLs); err != nil {
		return nil, err
	}
	c := &content{Order: o}
	var err error
	if c.subject, err = o.Profile.SubjectFor(o.Subject); err != nil {
		return nil, err
	}
	if c.spki, err = pki.MarshalSPKI(o.PublicKey); err != nil {
		return nil, err
	}
	now := o.Now.UTC().Truncate(time.Second)
	c.notBefore = now.Add(-o.Profile.Backdate).Truncate(time.Second)
	c.notAfter = now.Add(o.Profile.Validity).Truncate(time.Second)
	return c, c.setIssuer()
}

func (c *content) setIssuer() error {
	if c.Issuer == nil {
		if c.Profile.CA == nil {
			return fmt.Errorf("issuer: is missing; only a CA certificate is self-signed, profile %q is none of a CA", c.Profile.Name)
		}
		c.issuerName, c.issuerKey, c.issuerKeyID = c.subject.DER(), c.PublicKey, pki.KeyID(c.spki)
		return nil
	}
	i := c.Issuer
	var err error
	if c.issuerKey, err = pki.ParseSM2SPKI(i.RawSubjectPublicKeyInfo); err != nil {
		return fmt.Errorf("issuer certificate: %w", err)
	}
	if len(i.SubjectKeyId) == 0 {
		return errors.New("issuer certificate: has no subject key identifier")
	}
	if now := c.Now.UTC(); now.Before(i.NotBefore) || now.After(i.NotAfter) {
		return fmt.Errorf("issuer certificate: is valid from %s to %s, not at %s; renew the CA certificate",
			i.NotBefore.UTC().Format(time.RFC3339), i.NotAfter.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
	}
	c.issuerName, c.issuerKeyID = i.RawSubject, i.SubjectKeyId
	if c.notBefore.Before(i.NotBefore) {
		c.notBefore = i.NotBefore.UTC()
	}
	if c.notAfter.After(i.NotAfter) {
		c.notAfter = i.NotAfter.UTC()
	}
	return nil
}

func checkURLs(u pki.URLs) error {
	for _, list := range []struct {
		field string
		urls  []string
	}{{"crl", u.CRL}, {"ocsp", u.OCSP}, {"caIssuers", u.CAIssuers}} {
		if len(list.urls) > maxURLs {
			return fmt.Errorf("issuer URLs: %s: has %d, at most %d are allowed", list.field, len(list.urls), maxURLs)
		}
		for _, v := range list.urls {
			if err := pki.CheckURI(v); err != nil {
				return fmt.Errorf("issuer URLs: %s: %w", list.field, err)
			}
		}
	}
	return nil
}

// marshal writes the TBSCertificate of RFC 5280 §4.1.
func (c *content) marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 1024))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) })
		b.AddASN1BigInt(c.Serial.Int())
		b.AddBytes(pki.SignatureAlgorithmDER())
		b.AddBytes(c.issuerName)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			pki.AddTime(b, c.notBefore)
			pki.AddTime(b, c.notAfter)
		})
		b.AddBytes(c.subject.DER())
		b.AddBytes(c.spki)
		b.AddASN1(cbasn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, c.addExtensions)
		})
	})
	return b.Bytes()
}
