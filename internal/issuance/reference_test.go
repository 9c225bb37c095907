package issuance_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/lint"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// prepareReference is Prepare written for clarity alone: everything is built
// afresh with cryptobyte, a throw-away key really signs the copy that is
// linted, and package smx509 parses it. TestReference holds Prepare to it.
func prepareReference(o issuance.Order) (tbs []byte, findings []lint.Finding, err error) {
	c, err := newReference(o)
	if err != nil {
		return nil, nil, err
	}
	if tbs, err = c.marshal(); err != nil {
		return nil, nil, err
	}
	throwAway, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	sig, err := throwAway.SignMessage(rand.Reader, tbs, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return nil, nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(pki.SignatureAlgorithmDER())
		b.AddASN1BitString(sig)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, nil, err
	}
	if findings = lint.Certificate(der, lint.Context{Issuer: o.Issuer, Identity: o.Profile.IdentityExtensions}); len(findings) > 0 {
		return nil, findings, nil
	}
	if _, err = smx509.ParseCertificate(der); err != nil {
		return nil, nil, err
	}
	return tbs, nil, nil
}

type reference struct {
	issuance.Order
	spki                []byte
	subject             pki.Name
	issuerName          []byte
	issuerKey           *ecdsa.PublicKey
	issuerKeyID         []byte
	notBefore, notAfter time.Time
}

func newReference(o issuance.Order) (*reference, error) {
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
	for _, u := range slices.Concat(o.IssuerURLs.CRL, o.IssuerURLs.FreshestCRL, o.IssuerURLs.OCSP, o.IssuerURLs.CAIssuers) {
		if err := pki.CheckURI(u); err != nil {
			return nil, err
		}
	}
	c := &reference{Order: o}
	var err error
	if c.subject, err = o.Profile.SubjectFor(o.Subject); err != nil {
		return nil, err
	}
	if c.spki, err = smx509.MarshalPKIXPublicKey(o.PublicKey); err != nil {
		return nil, err
	}
	now := o.Now.UTC().Truncate(time.Second)
	c.notBefore = now.Add(-o.Profile.Backdate).Truncate(time.Second)
	c.notAfter = now.Add(o.Profile.Validity).Truncate(time.Second)
	return c, c.setIssuer()
}

func (c *reference) setIssuer() error {
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

// marshal writes the TBSCertificate of RFC 5280 §4.1.
func (c *reference) marshal() ([]byte, error) {
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
