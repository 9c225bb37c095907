package authority

import (
	"context"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	// watchPoll is how often the ledger is looked at without being told of a write.
	watchPoll = 200 * time.Millisecond
	// watchPause is the least time between two looks.
	watchPause = 20 * time.Millisecond
	// DefaultSilence is that of Config.Silence.
	DefaultSilence = 20 * time.Second
)

// Feed is what consumers read.
func (s *Service) Feed() Feed { return s.store }

// Changed returns a channel that is closed once the feed has further changes.
// Take it before reading the feed, wait on it afterwards, and look from time to
// time as well: what was written just before a crash closes nothing.
func (s *Service) Changed() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changed
}

// WatchLedger looks at the ledger until ctx ends, at once after a write of this
// process and each 200 ms. It wakes the consumers of the feed, takes up the settings
// that another process accepted, says that this process is alive, and takes over from one that died.
func (s *Service) WatchLedger(ctx context.Context, log logr.Logger) error {
	failed := false // a failure is said once, and its end once
	var last Heads
	var renewed time.Time
	for {
		heads, err := s.look(ctx, last, &renewed)
		switch {
		case ctx.Err() != nil:
			return nil
		case s.seen(err) != nil && !failed:
			log.Error(err, "the ledger cannot be watched; trying on")
		case err == nil && failed:
			log.Info("the ledger is watched again")
		}
		if failed = err != nil; !failed {
			if heads.Feed != last.Feed {
				s.announce()
				s.metrics.feedHead.Set(float64(heads.Feed))
			}
			last = heads
		}
		if !s.awaitWrite(ctx) {
			return nil
		}
	}
}

// look reads the heads, and renews and reloads when it is time. What cannot be
// loaded, as settings of a later release, keeps nobody from saying that it is alive.
func (s *Service) look(ctx context.Context, last Heads, renewed *time.Time) (Heads, error) {
	ctx, cancel := context.WithTimeout(ctx, s.silence/2)
	defer cancel()
	heads, err := s.store.Heads(ctx)
	if err != nil {
		return heads, err
	}
	s.noteRestored(heads)
	if now := time.Now(); now.Sub(*renewed) >= s.silence/4 {
		leads, err := s.store.Renew(ctx, s.silence)
		if err != nil {
			return heads, err
		}
		*renewed = now
		if leads {
			s.leadsOnce.Do(func() { close(s.leads) })
		}
	}
	if heads.Accepted != last.Accepted {
		return heads, s.Load(ctx)
	}
	return heads, nil
}

// Leads is closed once this process leads those that share its ledger, which it does
// until it is fenced off: what must be done by one of them alone waits for it. A process that shares
// its ledger with none leads as soon as it watches it.
func (s *Service) Leads() <-chan struct{} { return s.leads }

// awaitWrite returns after a pause when this process writes, or after a poll's
// time; false when ctx ended.
func (s *Service) awaitWrite(ctx context.Context) bool {
	wait := func(d time.Duration, wrote <-chan struct{}) bool {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return false
		case <-wrote:
		case <-t.C:
		}
		return true
	}
	return wait(watchPause, nil) && wait(watchPoll-watchPause, s.wrote)
}

// announce wakes the consumers.
func (s *Service) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// telling is a store that tells the watch of writes. It does so also when
// they failed: they may have been persisted.
type telling struct {
	Store
	wrote chan<- struct{}
}

func (t telling) tell() {
	select {
	case t.wrote <- struct{}{}:
	default: // it is told already
	}
}

func (t telling) RecordIssued(ctx context.Context, k IssuerKey, issued []Issued) error {
	defer t.tell()
	return t.Store.RecordIssued(ctx, k, issued)
}

func (t telling) Abandon(ctx context.Context, k IssuerKey, serial pki.Serial) error {
	defer t.tell()
	return t.Store.Abandon(ctx, k, serial)
}

func (t telling) Perform(ctx context.Context, act Act) (Performed, error) {
	defer t.tell()
	return t.Store.Perform(ctx, act)
}

func (t telling) SaveCRL(ctx context.Context, c CRL) error {
	defer t.tell()
	return t.Store.SaveCRL(ctx, c)
}

func (t telling) Accept(ctx context.Context, a Accepted) error {
	defer t.tell()
	return t.Store.Accept(ctx, a)
}
