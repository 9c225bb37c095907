package authority

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/crl"
	"github.com/terrace-pki/terrace/internal/pki"
)

// makeCRL signs the list that follows l and saves it: a delta of base, or a full
// list when base is nil. ErrStaleCRL: another process was faster; read again.
func (s *Service) makeCRL(ctx context.Context, l lists, base *CRL) (CRL, error) {
	made, err := s.signCRL(ctx, l, base, s.now())
	if err != nil {
		if !errors.Is(err, ErrStaleCRL) {
			s.metrics.crlFailed(l.ca.Key)
		}
		return CRL{}, fmt.Errorf("make CRL of %s: %w", l.ca.Key.Authority, err)
	}
	return made, nil
}

func (s *Service) signCRL(ctx context.Context, l lists, base *CRL, now time.Time) (CRL, error) {
	signer, err := s.signer(ctx, l.ca)
	if err != nil {
		return CRL{}, err
	}
	next := CRL{Issuer: l.ca.Key, Shard: l.shard, DistributionPoint: l.point(), After: l.after(), ThisUpdate: l.thisUpdate(now, base != nil)}
	next.NextUpdate = l.nextUpdate(next.ThisUpdate, base != nil)
	t := crl.Template{Issuer: l.ca.Cert, ThisUpdate: next.ThisUpdate, NextUpdate: next.NextUpdate,
		DistributionPoint: next.DistributionPoint, OnlyCACertificates: l.ca.OnlyCACertificates}
	if base != nil {
		t.Base, next.Base = base.Number, base.Number
	} else {
		t.FreshestCRL = l.ca.DeltaURL(l.shard)
	}
	b, err := crl.NewBuilder(t)
	if err != nil {
		return CRL{}, err
	}
	// Read before the entries: what has a number by now is among them. What
	// changes meanwhile may be shown already, and is shown again by the next delta.
	if next.Seen, err = s.store.Head(ctx); err != nil {
		return CRL{}, fmt.Errorf("read feed head: %w", err)
	}
	if base != nil {
		err = s.addChanges(ctx, b, l, *base)
	} else {
		err = s.addRevoked(ctx, b, l, now)
	}
	if err != nil {
		return CRL{}, fmt.Errorf("read revoked serials: %w", err)
	}
	next.Number, err = s.store.ReserveCRLNumber(ctx, l.ca.Key, l.shard, now)
	if s.seen(err) != nil {
		return CRL{}, fmt.Errorf("reserve CRL number: %w", err)
	}
	s.reached(AfterCRLNumber) // die here: the number stays unused, which RFC 5280 allows
	if next.DER, err = b.Sign(signer, next.Number); err != nil {
		return CRL{}, err
	}
	s.reached(AfterCRLSignature) // die here: a list that nobody saw is signed anew under a higher number
	if err := s.seen(s.store.SaveCRL(ctx, next)); err != nil {
		return CRL{}, fmt.Errorf("save CRL: %w", err)
	}
	s.reached(AfterCRLSaved) // die here: the next start finds the list and makes none before it is due
	s.current(next)
	return next, nil
}

// addRevoked adds what stands on a full list, as the ledger yields it. It is
// read anew each time and not taken from the list before: that would cost nearly
// as much, since the ledger has to be asked what expired, and would keep a wrong
// entry for ever.
func (s *Service) addRevoked(ctx context.Context, b *crl.Builder, l lists, now time.Time) error {
	// An entry whose certificate expired stays for one more list (RFC 5280 §3.3).
	notAfter := now
	if last := l.newest(CRL.isFull); last != nil {
		notAfter = last.ThisUpdate
	}
	return s.store.Revoked(ctx, l.ca.Key, l.shard, notAfter, func(r Record) error {
		return b.Add(crl.Entry{Serial: r.Serial, At: r.Revocation.At, Reason: r.Revocation.Reason})
	})
}

// addChanges adds what changed since base (RFC 5280 §5.2.4). What was revoked
// and then expired stays, for no full list may have shown it yet; what expired
// before base stands on no list that can follow it.
func (s *Service) addChanges(ctx context.Context, b *crl.Builder, l lists, base CRL) error {
	return s.store.RevocationChanges(ctx, l.ca.Key, l.shard, base.Seen, func(r Record) error {
		if r.Revocation.Reason != pki.ReasonRemoveFromCRL && r.NotAfter.Before(base.ThisUpdate) {
			return nil
		}
		return b.Add(crl.Entry{Serial: r.Serial, At: r.Revocation.At, Reason: r.Revocation.Reason})
	})
}
