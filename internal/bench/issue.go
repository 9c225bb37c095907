package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Issue has n certificates issued in batches by some callers at once: proof of
// possession, lint, intent, signature, check, record and audit, all durable. It
// compares with one SM2 signature and two verifications (possession, and the
// check of what the device signed) on the same cores, or with what a device
// signs alone (MeasureDevice).
func (s *Stage) Issue(ctx context.Context, n, batch, callers int, raw Raw) (Result, error) {
	if batch < 1 || batch > authority.MaxSlice || callers < 1 || n < 1 {
		return Result{}, fmt.Errorf("issue %d in batches of %d by %d callers: want at least 1 each, and batches of at most %d", n, batch, callers, authority.MaxSlice)
	}
	r, err := s.durably(ctx, func() (Result, error) { return s.issue(ctx, n, batch, callers) })
	rate, what := raw.unavoidable()
	r.compare(rate, fmt.Sprintf("%s; batches of %d, %d callers", what, batch, callers))
	return r, err
}

func (s *Stage) issue(ctx context.Context, n, batch, callers int) (Result, error) {
	m := newMeter("issue", n)
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(callers)
	for first := 0; first < n && running.Err() == nil; first += batch {
		size := min(batch, n-first)
		g.Go(func() error {
			orders := s.orders(first, size)
			began := time.Now()
			issued, err := s.desk.Issue(running, caName, orders)
			if err != nil {
				return err
			}
			for _, one := range issued {
				if one.Err != nil {
					return one.Err
				}
			}
			m.did(began, size)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return Result{}, fmt.Errorf("issue: %w", err)
	}
	return m.result(), nil
}
