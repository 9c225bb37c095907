package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Prefill makes the stage's ledger a large one: n certificates of which some are
// revoked, with the content of one that it issues. They can be looked up, revoked and
// listed, and are no certificates.
func (s *Stage) Prefill(ctx context.Context, n, revoked int64, progress func(int64)) (Result, error) {
	store, ok := s.store.(authority.Filler)
	if !ok {
		return Result{}, errors.New("prefill: this ledger cannot be filled")
	}
	if n < 1 || revoked < 0 || revoked > n {
		return Result{}, fmt.Errorf("prefill: %d certificates, %d revoked: want at least one, and no more revoked", n, revoked)
	}
	ca, err := s.Authorities.CA(s.key)
	if err != nil {
		return Result{}, err
	}
	issued, err := s.desk.Issue(ctx, caName, s.orders(0, 1))
	if err == nil {
		err = issued[0].Err
	}
	if err != nil {
		return Result{}, fmt.Errorf("prefill: issue the template: %w", err)
	}
	m := newMeter("prefill", 1)
	began := time.Now()
	err = store.Prefill(ctx, authority.Filling{Issuer: s.key, Certificates: n, Template: issued[0].Certificate, Revoked: revoked, Shards: ca.Shards, Progress: progress})
	if err != nil {
		return Result{}, err
	}
	m.did(began, 1)
	r := m.result()
	r.Rate = float64(n) / time.Since(began).Seconds()
	r.Note = fmt.Sprintf("%d rows that nobody signed, %d revoked", n, revoked)
	return r, nil
}
