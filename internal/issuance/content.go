package issuance

import (
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxURLs bounds each list of an order's URLs.
const maxURLs = 8

// content is an order whose every field was checked and computed.
type content struct {
	Order
	*plan
	spki, keyID         []byte
	subject             pki.Name
	notBefore, notAfter time.Time
}

func (p *plan) content(o Order) (*content, error) {
	if o.Serial == "" {
		return nil, errors.New("serial: is missing; reserve one in the ledger")
	}
	if o.Now.IsZero() {
		return nil, errors.New("now: is zero")
	}
	if err := p.profile.CheckSubjectAltNames(o.SubjectAltNames); err != nil {
		return nil, err
	}
	if err := p.profile.CheckIdentity(o.Identity); err != nil {
		return nil, err
	}
	if err := checkURLs(o.IssuerURLs); err != nil {
		return nil, err
	}
	c := &content{Order: o, plan: p}
	var err error
	if c.subject, err = p.profile.SubjectFor(o.Subject); err != nil {
		return nil, err
	}
	if c.spki, err = pki.MarshalSPKI(o.PublicKey); err != nil {
		return nil, err
	}
	c.keyID = pki.KeyID(c.spki)
	return c, c.setValidity()
}

func (c *content) setValidity() error {
	now := c.Now.UTC().Truncate(time.Second)
	c.notBefore = now.Add(-c.profile.Backdate).Truncate(time.Second)
	c.notAfter = now.Add(c.profile.Validity).Truncate(time.Second)
	i := c.issuer
	if i == nil {
		return nil
	}
	if now := c.Now.UTC(); now.Before(i.NotBefore) || now.After(i.NotAfter) {
		return fmt.Errorf("issuer certificate: is valid from %s to %s, not at %s; renew the CA certificate",
			i.NotBefore.UTC().Format(time.RFC3339), i.NotAfter.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
	}
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
	}{{"crl", u.CRL}, {"freshestCRL", u.FreshestCRL}, {"ocsp", u.OCSP}, {"caIssuers", u.CAIssuers}} {
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
	e := pki.NewEncoder(1024)
	e.Nest(cbasn1.SEQUENCE, func() {
		e.Nest(cbasn1.Tag(0).ContextSpecific().Constructed(), func() { e.Octets(cbasn1.INTEGER, []byte{2}) })
		e.Serial(c.Serial)
		e.SignatureAlgorithm()
		if c.issuer != nil {
			e.Raw(c.issuer.RawSubject)
		} else {
			e.Name(c.subject)
		}
		e.Nest(cbasn1.SEQUENCE, func() {
			e.Time(c.notBefore)
			e.Time(c.notAfter)
		})
		e.Name(c.subject)
		e.Raw(c.spki)
		e.Nest(cbasn1.Tag(3).ContextSpecific().Constructed(), func() {
			e.Nest(cbasn1.SEQUENCE, func() { c.addExtensions(&e) })
		})
	})
	return e.Bytes()
}
