package trustsigner

import (
	"bytes"
	"context"
	"fmt"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// trusted are the certificates that a CA vouches for now: those above it, its
// own, and of the accepted CAs below it those that this ledger issued, with every
// CA between, and that are neither revoked nor on hold nor expired.
func (s *Service) trusted(ctx context.Context, ca *authority.CA) ([]*smx509.Certificate, error) {
	if err := s.c.Authorities.CheckCA(ctx, ca); err != nil {
		return nil, err
	}
	trusted := []*smx509.Certificate{ca.Cert}
	for i, der := range ca.Chain {
		above, err := pki.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("chain[%d]: %w", i, err)
		}
		trusted = append(trusted, above)
	}
	standing := map[string]bool{} // by DER: CAs share what is above them
	for _, other := range s.c.Authorities.All() {
		below := pathBelow(ca, other)
		if below == nil {
			continue
		}
		good := true
		for _, der := range below {
			known, looked := standing[string(der)]
			if !looked {
				var err error
				if known, err = s.stands(ctx, der); err != nil {
					return nil, err
				}
				standing[string(der)] = known
			}
			good = good && known
		}
		if good {
			trusted = append(trusted, other.Cert)
		}
	}
	return trusted, nil
}

// pathBelow is the certificates from other up to, and without, ca's; nil when
// other is not below ca.
func pathBelow(ca, other *authority.CA) [][]byte {
	path := [][]byte{other.Certificate}
	for _, above := range other.Chain {
		if bytes.Equal(above, ca.Certificate) {
			return path
		}
		path = append(path, above)
	}
	return nil
}

// stands says whether this ledger issued a certificate and has it good.
func (s *Service) stands(ctx context.Context, der []byte) (bool, error) {
	c, err := pki.ParseCertificate(der)
	if err != nil {
		return false, fmt.Errorf("certificate of a CA below: %w", err)
	}
	if c.NotAfter.Before(s.c.Authorities.Now()) {
		return false, nil
	}
	found, err := s.c.Authorities.FindSerial(ctx, pki.SerialFromInt(c.SerialNumber))
	if err != nil {
		return false, fmt.Errorf("look for the certificate of a CA below: %w", err)
	}
	for _, r := range found {
		if r.State == authority.StateIssued && r.Revocation == nil && bytes.Equal(r.Certificate, der) {
			return true, nil
		}
	}
	return false, nil
}
