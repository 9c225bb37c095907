package publishing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/directory"
)

// maxVerifyWait between two comparisons that fail: of a large directory one takes minutes.
const maxVerifyWait = 10 * time.Minute

// runVerify compares master and ledger until ctx ends: once after the start,
// each interval, when a CA left the directory, and when the master was emptied.
func (t *target) runVerify(ctx context.Context) {
	var wait time.Duration
	for {
		due := time.Second // not up to date yet: what is missing is backlog, not drift
		if t.isUpToDate() {
			if due = t.untilVerify(); due <= 0 {
				err := t.verify(ctx)
				if ctx.Err() != nil {
					return
				}
				if wait = 0; err != nil {
					wait = min(max(2*wait, time.Second), maxVerifyWait)
				}
				due = max(wait, time.Second)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.verifyNow:
		case <-time.After(due):
		}
	}
}

func (t *target) isUpToDate() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inStep && t.publishErr == nil
}

// untilVerify is when the next comparison is due.
func (t *target) untilVerify() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.status.VerifiedAt.IsZero() || t.leaving || t.emptied {
		return 0
	}
	return t.spec.VerifyInterval - t.now().Sub(t.status.VerifiedAt)
}

// verify repairs the master and counts what had been changed behind our back.
// What a comparison removes of a CA that left is not counted.
func (t *target) verify(ctx context.Context) error {
	before, err := t.members(ctx)
	if err != nil {
		return t.verified(fmt.Errorf("%w: %w", ErrLedger, err))
	}
	leaving := t.isLeaving()
	t.mu.Lock()
	emptied := t.emptied
	t.emptied, t.comparing = false, true // once more if it is emptied meanwhile
	t.mu.Unlock()
	drift, err := t.publisher.Audit(ctx, t.desired)
	if !leaving && !t.isLeaving() { // also what was repaired before it failed
		t.drifted(drift, err == nil)
	}
	t.mu.Lock()
	t.comparing = false
	t.emptied = t.emptied || (err != nil && emptied) || errors.Is(err, directory.ErrNoBase)
	t.mu.Unlock()
	if err == nil && leaving {
		err = t.dropLeft(ctx, before)
	}
	return t.verified(err)
}

// verified notes how a comparison ended.
func (t *target) verified(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.verifyErr = err; err == nil {
		t.status.VerifiedAt, t.refused, t.contacted = t.now(), nil, t.now()
	}
	t.summarise()
	return err
}

func (t *target) isLeaving() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leaving
}

func (t *target) drifted(d directory.Drift, ended bool) {
	n := d.Total()
	t.mu.Lock()
	t.status.DriftTotal += n
	if ended || n > 0 {
		t.status.Drift = n
	}
	t.mu.Unlock()
	if n == 0 {
		return
	}
	t.metrics.AddDrift(t.spec.ID(), t.spec.Master.Name, n)
	t.log.Info("entries of the master had been changed behind our back and were repaired", "missing", d.Missing, "changed", d.Changed, "extra", d.Extra)
}

// desired is what the ledger says. At its end all that was in it is published,
// so that a change which the comparison has seen, and the feed's reader has not,
// is not taken for drift.
func (t *target) desired(ctx context.Context, yield func(directory.Publication) error) error {
	if err := t.all(ctx, yield); err != nil {
		return err
	}
	return t.publish(ctx)
}

// confirmed notes the position for the status.
func (t *target) confirmed(position int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits.confirm(position)
}

// record notes what became of a pass over the feed.
func (t *target) record(ctx context.Context, err error) {
	t.mu.Lock()
	t.publishErr = err
	if err == nil && !t.inStep {
		t.inStep = true
		signal(t.verifyNow)
	}
	t.summarise()
	t.mu.Unlock()
	t.measure(ctx)
}

// summarise sets the status, and logs when it turned; mu is held.
func (t *target) summarise() {
	s := &t.status
	s.LastError = t.publishErr
	if s.LastError == nil {
		s.LastError = t.verifyErr
	}
	if s.LastError == nil {
		s.LastError = t.refused
	}
	s.Backlog, s.Lag = t.waits.backlog(), t.waits.lag(t.now())
	s.State = StateOf(s.LastError, t.inStep, s.Lag)
	switch wrong := s.LastError != nil; {
	case wrong && !t.reported:
		t.log.Error(s.LastError, "master is not up to date; trying on")
	case !wrong && t.reported:
		t.log.Info("master is up to date again")
	}
	t.reported = s.LastError != nil
}

// measure brings backlog and lag up to date.
func (t *target) measure(ctx context.Context) {
	head, err := t.store.Head(ctx)
	t.mu.Lock()
	if err == nil {
		t.waits.see(head, t.now())
	} // else the next pass meets the same error and tells
	t.summarise()
	status := t.status
	t.mu.Unlock()
	t.metrics.Set(t.spec.ID(), status)
}

func (t *target) currentStatus() ServerStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.summarise()
	return t.status
}
