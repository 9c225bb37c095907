package authority

import (
	"context"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	// feedPoll is how often the sequencer looks without being told.
	feedPoll = 200 * time.Millisecond
	// feedPause is the least time between two passes that found less than a full
	// batch, so that single writes do not each cost a transaction more.
	feedPause = 20 * time.Millisecond
	// feedMeasure is how often the metrics are read while there is much to number.
	feedMeasure = time.Second
)

// Feed is what consumers read. RunFeed gives its changes their numbers.
func (s *Service) Feed() Feed { return s.store }

// Sequenced returns a channel that is closed once further changes have numbers.
// Take it before reading the feed, wait on it afterwards, and look from time to
// time as well: a number that was given just before a crash closes nothing.
func (s *Service) Sequenced() <-chan struct{} {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sequenced
}

// RunFeed numbers the changes of the feed until ctx ends: at once what this
// process writes, and each 200 ms what it finds. It needs the ledger alone.
func (s *Service) RunFeed(ctx context.Context, log logr.Logger) error {
	failed := false // a failure is said once, and its end once
	measured := time.Time{}
	for {
		n, err := s.store.Sequence(ctx, MaxChanges)
		switch {
		case ctx.Err() != nil:
			return nil
		case s.seen(err) != nil && !failed:
			log.Error(err, "changes get no numbers; trying on")
		case err == nil && failed:
			log.Info("changes get numbers again")
		}
		failed = err != nil
		if n > 0 {
			s.announce()
		}
		if (n > 0 && n < MaxChanges) || s.now().Sub(measured) >= feedMeasure {
			s.measureFeed(ctx)
			measured = s.now()
		}
		if n == MaxChanges {
			continue
		}
		if !s.awaitChanges(ctx) {
			return nil
		}
	}
}

// awaitChanges returns after a pause when this process writes, or after a poll's
// time; false when ctx ended.
func (s *Service) awaitChanges(ctx context.Context) bool {
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
	return wait(feedPause, nil) && wait(feedPoll-feedPause, s.wrote)
}

// announce wakes the consumers.
func (s *Service) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.sequenced)
	s.sequenced = make(chan struct{})
}

// measureFeed brings the metrics up to date. What cannot be read stays as it was.
func (s *Service) measureFeed(ctx context.Context) {
	if head, err := s.store.Head(ctx); err == nil {
		s.metrics.feedHead.Set(float64(head))
	}
	if waiting, err := s.store.Unsequenced(ctx); err == nil {
		s.metrics.feedLag.Set(float64(waiting))
	}
}

// telling is a store that tells the sequencer of writes. It does so also when
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
