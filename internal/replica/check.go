package replica

import (
	"encoding/hex"
	"fmt"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Check says, wrapping ErrInvalid, which bound or form a push breaks.
func (p Push) Check() error {
	switch {
	case p.After < 0 || p.Next < p.After || p.Head < 0:
		return invalid("numbers: after %d, next %d, head %d: want 0 <= after <= next", p.After, p.Next, p.Head)
	case len(p.Changes) > MaxChanges:
		return invalid("changes: are %d, at most %d are allowed", len(p.Changes), MaxChanges)
	case len(p.Anchor) > maxAnchor || len(p.Ledger) > maxAnchor:
		return invalid("anchor and ledger: have %d and %d bytes, at most %d are allowed", len(p.Anchor), len(p.Ledger), maxAnchor)
	case p.Refill && (p.Next != p.After || len(p.Changes) > 0 || p.CRL != nil):
		return invalid("refill: comes with changes, a CRL or another next than after; send it alone")
	case p.CRL != nil && len(p.Changes) > 0:
		return invalid("CRL: comes with changes; send it alone")
	}
	last := p.After
	for i, c := range p.Changes {
		if c.Seq <= last || c.Seq > p.Next {
			return invalid("changes[%d]: number %d is not above %d and at most %d", i, c.Seq, last, p.Next)
		}
		last = c.Seq
		if err := c.Status.check(); err != nil {
			return invalid("changes[%d]: %v", i, err)
		}
	}
	if p.Audit != nil {
		if p.CRL != nil || p.Refill {
			return invalid("audit checkpoint: comes with a CRL or a refill; send it with changes, or alone")
		}
		if err := p.Audit.check(); err != nil {
			return err
		}
	}
	if p.CRL != nil {
		if err := checkCRL(*p.CRL); err != nil {
			return err
		}
	}
	if p.Config != nil {
		return p.Config.check()
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

func checkIssuer(k authority.IssuerKey) error {
	if k.Authority == "" || len(k.Authority) > 400 || k.Generation < 1 {
		return fmt.Errorf("issuer %.100q generation %d: want a name of at most 400 bytes and a generation from 1", k.Authority, k.Generation)
	}
	return nil
}

func (s Status) check() error {
	if err := checkIssuer(s.Issuer); err != nil {
		return err
	}
	if _, err := SerialBytes(s.Serial); err != nil {
		return err
	}
	if s.NotAfter.IsZero() {
		return fmt.Errorf("serial %s: notAfter is missing", s.Serial)
	}
	if r := s.Revocation; r != nil && (r.At.IsZero() || !r.Reason.OnCRL()) {
		return fmt.Errorf("serial %s: revocation at %s for %s: want a time and a reason of RFC 5280 §5.3.1", s.Serial, r.At, r.Reason)
	}
	return nil
}

// SerialBytes is a serial in 1 to 20 octets, the form in which stores keep it.
func SerialBytes(s pki.Serial) ([]byte, error) {
	b, err := hex.DecodeString(string(s))
	if err != nil || len(b) < 1 || len(b) > 20 {
		return nil, fmt.Errorf("serial %.48q: want 1 to 20 octets in hexadecimal", string(s))
	}
	return b, nil
}

func checkCRL(c authority.CRL) error {
	if err := checkIssuer(c.Issuer); err != nil {
		return invalid("CRL: %v", err)
	}
	if c.Shard < 0 || c.Number < 1 || c.Base < 0 || c.Base >= c.Number || len(c.DER) == 0 || len(c.DER) > MaxCRL || !c.NextUpdate.After(c.ThisUpdate) {
		return invalid("CRL %s: number %d, base %d, %d bytes, %s to %s: want a positive number above the base, 1 to %d bytes and nextUpdate after thisUpdate",
			c.Issuer.CRLFileName(c.Shard), c.Number, c.Base, len(c.DER), c.ThisUpdate, c.NextUpdate, MaxCRL)
	}
	return nil
}

func (c Config) check() error {
	if c.Revision < 1 || len(c.Digest) == 0 || len(c.Digest) > 64 {
		return invalid("configuration: revision %d with a digest of %d bytes: want both", c.Revision, len(c.Digest))
	}
	if len(c.Services) > MaxServices {
		return invalid("configuration: %d services, at most %d are allowed", len(c.Services), MaxServices)
	}
	authorities := 0
	for _, s := range c.Services {
		authorities += len(s.Authorities)
		if s.ID == "" || s.BaseURL == "" || s.ResponseValidity <= 0 {
			return invalid("configuration: service %.100q: ID, base URL and response validity are required", s.ID)
		}
		for _, a := range s.Authorities {
			if err := checkIssuer(a.Key); err != nil {
				return invalid("configuration: service %s: %v", s.ID, err)
			}
			if _, _, err := a.Parse(); err != nil {
				return invalid("configuration: service %s: certificates of %s: %v", s.ID, a.Key.Authority, err)
			}
			if len(a.Chain) > maxChain {
				return invalid("configuration: service %s: chain of %s has %d certificates, at most %d are allowed", s.ID, a.Key.Authority, len(a.Chain), maxChain)
			}
		}
	}
	if authorities > MaxAuthorities {
		return invalid("configuration: %d CA key generations, at most %d are allowed", authorities, MaxAuthorities)
	}
	return nil
}
