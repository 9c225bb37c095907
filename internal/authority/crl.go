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
	if !s.due(ca, shard) {
		return false, nil
	}
	p := s.publisher(crlName{key, shard})
	if err := p.lock(ctx); err != nil {
		return false, err
	}
	defer p.unlock()
	if !s.due(ca, shard) { // somebody published meanwhile
		return false, nil
	}
	current, err := s.lastCRL(ctx, key, shard)
	if err != nil {
		return false, err
	}
	if !current.ThisUpdate.IsZero() {
		s.current(current)
		if s.now().Before(current.ThisUpdate.Add(ca.CRLInterval)) {
			return false, nil
		}
	}
	if _, err := s.makeCRL(ctx, ca, shard, current); err != nil {
		return false, err
	}
	return true, nil
}

// due says whether the list of a shard is unknown to this process or old.
func (s *Service) due(ca *CA, shard int32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	last, known := s.crlMade[crlName{ca.Key, shard}]
	return !known || !s.now().Before(last.Add(ca.CRLInterval))
}

// lastCRL is the current list, zero when there is none.
func (s *Service) lastCRL(ctx context.Context, key IssuerKey, shard int32) (CRL, error) {
	current, err := s.store.CurrentCRL(ctx, key, shard)
	if errors.Is(err, ErrNotFound) {
		return CRL{}, nil
	}
	if err != nil {
		s.metrics.crlFailed(key)
		return CRL{}, fmt.Errorf("read current CRL of %s: %w", key.Authority, err)
	}
	return current, nil
}

// makeCRL signs a list in place of last and saves it.
func (s *Service) makeCRL(ctx context.Context, ca *CA, shard int32, last CRL) (CRL, error) {
	made, err := s.signCRL(ctx, ca, shard, s.now(), last)
	if err != nil {
		s.metrics.crlFailed(ca.Key)
		return CRL{}, fmt.Errorf("make CRL of %s: %w", ca.Key.Authority, err)
	}
	return made, nil
}

func (s *Service) signCRL(ctx context.Context, ca *CA, shard int32, now time.Time, last CRL) (CRL, error) {
	signer, err := s.signer(ctx, ca)
	if err != nil {
		return CRL{}, err
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
		return CRL{}, fmt.Errorf("read revoked serials: %w", err)
	}
	t.Number, err = s.store.ReserveCRLNumber(ctx, ca.Key, shard, now)
	if s.seen(err) != nil {
		return CRL{}, fmt.Errorf("reserve CRL number: %w", err)
	}
	s.reached(AfterCRLNumber) // die here: the number stays unused, which RFC 5280 allows
	der, err := crl.Sign(signer, t)
	if err != nil {
		return CRL{}, err
	}
	s.reached(AfterCRLSignature) // die here: a list that nobody saw is signed anew under a higher number
	next := CRL{Issuer: ca.Key, Shard: shard, Number: t.Number, ThisUpdate: t.ThisUpdate, NextUpdate: t.NextUpdate, DER: der}
	if err := s.seen(s.store.SaveCRL(ctx, next)); err != nil {
		return CRL{}, fmt.Errorf("save CRL: %w", err)
	}
	s.reached(AfterCRLSaved) // die here: the next start finds the list and makes none before it is due
	s.current(next)
	return next, nil
}

// current notes that a list is the current one.
func (s *Service) current(c CRL) {
	s.mu.Lock()
	s.crlMade[crlName{c.Issuer, c.Shard}] = c.ThisUpdate
	s.mu.Unlock()
	s.metrics.crlCurrent(c.Issuer, c.Shard, c)
}
