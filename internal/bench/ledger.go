package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// serials are those of up to n certificates of the stage's CA, spread over its ledger.
func (s *Stage) serials(ctx context.Context, n int) ([]pki.Serial, error) {
	if n < 1 {
		return nil, fmt.Errorf("%d operations: want at least 1", n)
	}
	var all []pki.Serial
	for after := int64(0); len(all) < n; {
		records, next, err := s.Authorities.Good(ctx, s.key, after, authority.MaxChanges)
		if err != nil {
			return nil, err
		}
		if next == after {
			break
		}
		for _, r := range records {
			if r.Identity.Kind != authority.KindOCSPResponder { // that is the node's own
				all = append(all, r.Serial)
			}
		}
		after = next
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the CA of the bench has no certificates: run terrace bench issue on this ledger first")
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))], nil
}

// Lookup reads the status of n certificates one by one, as live OCSP does.
func (s *Stage) Lookup(ctx context.Context, n, callers int) (Result, error) {
	serials, err := s.serials(ctx, n)
	if err != nil {
		return Result{}, fmt.Errorf("lookup: %w", err)
	}
	return each(ctx, "lookup", n, callers, func(ctx context.Context, i int) error {
		_, err := s.Authorities.Status(ctx, s.key, serials[i%len(serials)])
		return err
	})
}

// Revoke revokes up to n certificates, each durable before the next of its caller.
func (s *Stage) Revoke(ctx context.Context, n, callers int) (Result, error) {
	serials, err := s.serials(ctx, n)
	if err != nil {
		return Result{}, fmt.Errorf("revoke: %w", err)
	}
	return s.durably(ctx, func() (Result, error) {
		return each(ctx, "revoke", len(serials), callers, func(ctx context.Context, i int) error { return s.revoke(ctx, i, serials[i]) })
	})
}

// revoke does the n-th revocation of this run.
func (s *Stage) revoke(ctx context.Context, n int, serial pki.Serial) error {
	name := fmt.Sprintf("%s-revoke-%d", s.run, n)
	done, err := s.Authorities.Perform(ctx, authority.Act{Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "terrace-bench", Name: name,
		Digest: sm3.Sum([]byte(name))}, Issuer: s.key, Serial: serial, Verb: authority.VerbRevoke, Reason: pki.ReasonSuperseded, At: time.Now()})
	if err == nil && done.Refusal != "" {
		err = fmt.Errorf("serial %s: refused: %s", serial, done.Refusal)
	}
	return err
}

// each does n operations by some callers at once.
func each(ctx context.Context, name string, n, callers int, do func(context.Context, int) error) (Result, error) {
	if n < 1 || callers < 1 {
		return Result{}, fmt.Errorf("%s: %d operations by %d callers: want at least 1 each", name, n, callers)
	}
	m := newMeter(name, n)
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(callers)
	for i := 0; i < n && running.Err() == nil; i++ {
		g.Go(func() error {
			began := time.Now()
			if err := do(running, i); err != nil {
				return err
			}
			m.did(began, 1)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Result{}, fmt.Errorf("%s: %w", name, err)
	}
	return m.result(), nil
}
