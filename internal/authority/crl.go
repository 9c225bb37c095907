package authority

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/crl"
)

// crlTick is how often the service looks for lists that are due.
const crlTick = 2 * time.Second

// RunCRLs signs the lists that are due until ctx ends. It needs the ledger and
// the devices, not the API server.
func (s *Service) RunCRLs(ctx context.Context, log logr.Logger) error {
	failed := map[crlName]bool{} // a failure is said once, and its end once
	for {
		for _, ca := range s.All() {
			for shard := range ca.MaxShards {
				id := crlName{ca.Key, shard}
				name := ca.Key.CRLFileName(shard)
				made, err := s.EnsureCRL(ctx, ca.Key, shard)
				switch {
				case ctx.Err() != nil:
					return nil
				case err != nil && !failed[id]:
					log.Error(err, "CRL is not made; trying on", "crl", name)
				case err == nil && failed[id]:
					log.Info("CRL is made again", "crl", name)
				case made:
					log.Info("CRL signed", "crl", name)
				}
				failed[id] = err != nil
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(crlTick):
		}
	}
}

// crlName names the list of a shard.
type crlName struct {
	issuer IssuerKey
	shard  int32
}

// EnsureCRL signs the list of a shard when none is current or the next is due.
func (s *Service) EnsureCRL(ctx context.Context, key IssuerKey, shard int32) (made bool, err error) {
	ca, err := s.CA(key)
	if err != nil {
		return false, err
	}
	s.mu.RLock()
	last, known := s.crlMade[crlName{key, shard}]
	s.mu.RUnlock()
	if known && s.now().Before(last.Add(ca.CRLInterval)) {
		return false, nil
	}
	current, err := s.store.CurrentCRL(ctx, key, shard)
	if err != nil && !errors.Is(err, ErrNotFound) {
		s.metrics.crlFailed(key)
		return false, fmt.Errorf("read current CRL of %s: %w", key.Authority, err)
	}
	now := s.now()
	if err == nil {
		s.current(current)
		if now.Before(current.ThisUpdate.Add(ca.CRLInterval)) {
			return false, nil
		}
	}
	if err := s.signCRL(ctx, ca, shard, now, current); err != nil {
		s.metrics.crlFailed(key)
		return false, fmt.Errorf("make CRL of %s: %w", key.Authority, err)
	}
	return true, nil
}

func (s *Service) signCRL(ctx context.Context, ca *CA, shard int32, now time.Time, last CRL) error {
	signer, err := s.signer(ctx, ca)
	if err != nil {
		return err
	}
	// An entry whose certificate expired stays for one more list (RFC 5280 §3.3).
	notAfter := now
	if !last.ThisUpdate.IsZero() {
		notAfter = last.ThisUpdate
	}
	t := crl.Template{Issuer: ca.Cert, ThisUpdate: now.Truncate(time.Second), NextUpdate: now.Add(ca.CRLInterval + ca.CRLOverlap).Truncate(time.Second),
		OnlyCACertificates: ca.OnlyCACertificates}
	if ca.MaxShards > 1 {
		t.DistributionPoint = ca.CRLURL(shard)
	}
	err = s.store.Revoked(ctx, ca.Key, shard, notAfter, func(r Record) error {
		t.Entries = append(t.Entries, crl.Entry{Serial: r.Serial, At: r.Revocation.At, Reason: r.Revocation.Reason})
		return nil
	})
	if err != nil {
		return fmt.Errorf("read revoked serials: %w", err)
	}
	t.Number, err = s.store.ReserveCRLNumber(ctx, ca.Key, shard, now)
	if s.seen(err) != nil {
		return fmt.Errorf("reserve CRL number: %w", err)
	}
	s.reached(AfterCRLNumber) // die here: the number stays unused, which RFC 5280 allows
	der, err := crl.Sign(signer, t)
	if err != nil {
		return err
	}
	s.reached(AfterCRLSignature) // die here: a list that nobody saw is signed anew under a higher number
	next := CRL{Issuer: ca.Key, Shard: shard, Number: t.Number, ThisUpdate: t.ThisUpdate, NextUpdate: t.NextUpdate, DER: der}
	if err := s.store.SaveCRL(ctx, next); err != nil {
		return fmt.Errorf("save CRL: %w", err)
	}
	s.current(next)
	return nil
}

// current notes that a list is the current one.
func (s *Service) current(c CRL) {
	s.mu.Lock()
	s.crlMade[crlName{c.Issuer, c.Shard}] = c.ThisUpdate
	s.mu.Unlock()
	s.metrics.crlCurrent(c.Issuer, c.Shard, c)
}
