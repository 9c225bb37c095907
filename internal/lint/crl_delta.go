package lint

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// delta says whether the list says of itself that it is one.
func (c *CRLInput) delta() bool {
	_, ok := c.Find(pki.OIDDeltaCRLIndicator)
	return ok
}

var crlDeltaChecks = []Check[*CRLInput]{
	{"crl-delta-indicator", "RFC 5280 §5.2.4", func(c *CRLInput) error {
		e, ok := c.Find(pki.OIDDeltaCRLIndicator)
		if !ok {
			return nil
		}
		if !e.Critical {
			return errors.New("deltaCRLIndicator is not critical")
		}
		base, err := crlNumber(e.Value)
		if err != nil {
			return fmt.Errorf("BaseCRLNumber %w", err)
		}
		number, ok := c.Find(pki.OIDCRLNumber)
		if own, err := crlNumber(number.Value); ok && err == nil && compareSerials(base, own) >= 0 {
			return errors.New("BaseCRLNumber is not below cRLNumber")
		}
		return nil
	}},
	{"crl-freshest", "RFC 5280 §5.2.6", func(c *CRLInput) error {
		e, ok := c.Find(pki.OIDFreshestCRL)
		switch {
		case !ok:
			return nil
		case c.delta():
			return errors.New("freshestCRL is in a delta CRL")
		case e.Critical:
			return nil // crl-critical-extensions says so
		}
		return distributionPointsForm(c.Extensions, pki.OIDFreshestCRL, "freshestCRL")
	}},
}

// crlNumber is the content of a CRLNumber (RFC 5280 §5.2.3).
func crlNumber(der []byte) ([]byte, error) {
	in := cryptobyte.String(der)
	var n cryptobyte.String
	if !in.ReadASN1(&n, cbasn1.INTEGER) || !in.Empty() || serialPositive(n) != nil || len(n) > 20 {
		return nil, errors.New("is not a positive INTEGER of at most 20 octets")
	}
	return n, nil
}
