package authority

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
)

// crlTick is how often the service looks for lists that are due.
const crlTick = 2 * time.Second

// maxStale bounds how often a list is made again because another process
// published one of the same shard meanwhile.
const maxStale = 8

// crlName names the lists of a shard.
type crlName struct {
	issuer IssuerKey
	shard  int32
}

// madeAt are the thisUpdate of a shard's newest list and delta, zero when there is none.
type madeAt struct{ full, delta time.Time }

// RunCRLs signs the lists that are due until ctx ends, as many at once as there
// are cores. It needs the ledger and the devices, not the API server.
func (s *Service) RunCRLs(ctx context.Context, log logr.Logger) error {
	r := crlRun{Service: s, log: log, failed: map[crlName]bool{}}
	for {
		r.round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(crlTick):
		}
	}
}

// crlRun says a failure once, and its end once.
type crlRun struct {
	*Service
	log    logr.Logger
	mu     sync.Mutex
	failed map[crlName]bool
}

func (r *crlRun) round(ctx context.Context) {
	var due []crlName
	for _, ca := range r.All() {
		for shard := range ca.MaxShards {
			if r.due(ca, shard) {
				due = append(due, crlName{ca.Key, shard})
			}
		}
	}
	// Every process in an order of its own, so that two seldom make the same list.
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0)) // each holds one encoded list
	for _, name := range due {
		g.Go(func() error {
			made, err := r.EnsureCRL(ctx, name.issuer, name.shard)
			if ctx.Err() == nil {
				r.note(name, made, err)
			}
			return nil
		})
	}
	_ = g.Wait() // failures are noted one by one
}

func (r *crlRun) note(name crlName, made bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	file := name.issuer.CRLFileName(name.shard)
	switch {
	case err != nil && !r.failed[name]:
		r.log.Error(err, "CRL is not made; trying on", "crl", file)
	case err == nil && r.failed[name]:
		r.log.Info("CRL is made again", "crl", file)
	case made:
		r.log.Info("CRL signed", "crl", file)
	}
	r.failed[name] = err != nil
}

// EnsureCRL signs the full list of a shard when none is current or the next is
// due, and its delta likewise.
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
	for n := 1; s.due(ca, shard); n++ { // again: somebody may have published meanwhile, and a delta may follow a list
		lists, err := s.lists(ctx, ca, shard)
		if err != nil {
			return made, err
		}
		var base *CRL
		if now := s.now(); !lists.fullDue(now) {
			if base = lists.base(now); base == nil || !lists.deltaDue(now) {
				return made, nil
			}
		}
		switch _, err := s.makeCRL(ctx, lists, base); {
		case err == nil:
			made = true
		case !errors.Is(err, ErrStaleCRL) || n == maxStale:
			return made, err
		}
	}
	return made, nil
}

// due says whether the lists of a shard are unknown to this process or old. It
// asks nobody.
func (s *Service) due(ca *CA, shard int32) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	last, known := s.crlMade[crlName{ca.Key, shard}]
	now := s.now()
	return !known || !now.Before(last.full.Add(ca.CRLInterval)) || ca.DeltaInterval > 0 && !now.Before(last.delta.Add(ca.DeltaInterval))
}

// lists reads what is kept of a shard's lists, without the lists themselves.
func (s *Service) lists(ctx context.Context, ca *CA, shard int32) (lists, error) {
	heads, err := s.store.CRLHeads(ctx, ca.Key, shard)
	if err != nil {
		s.metrics.crlFailed(ca.Key)
		return lists{}, fmt.Errorf("read current CRL of %s: %w", ca.Key.Authority, err)
	}
	l := lists{ca: ca, shard: shard, heads: heads}
	for _, kind := range []func(CRL) bool{CRL.isFull, CRL.IsDelta} {
		if c := l.newest(kind); c != nil {
			s.current(*c)
		}
	}
	return l, nil
}

// current notes that a list is the newest of its kind.
func (s *Service) current(c CRL) {
	s.mu.Lock()
	name := crlName{c.Issuer, c.Shard}
	made := s.crlMade[name]
	if c.IsDelta() {
		made.delta = c.ThisUpdate
	} else {
		made.full = c.ThisUpdate
	}
	s.crlMade[name] = made
	s.mu.Unlock()
	s.metrics.crlCurrent(c.Issuer, c.Shard, c)
}
