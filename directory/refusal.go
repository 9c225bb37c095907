package directory

import (
	"context"
	"errors"
	"fmt"
)

// writeError is one of writing a slave.
type writeError struct{ err error }

func (e *writeError) Error() string { return "write slave: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// isRefusal says whether a server refused a single change, and may well take others.
func isRefusal(err error) bool {
	for _, e := range []error{ErrUnavailable, ErrCredentials, ErrReferral, ErrNoBase, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, e) {
			return false
		}
	}
	return err != nil
}

// refusals are entries that a server did not take.
type refusals struct {
	count int
	last  error
}

func (r *refusals) add(dn string, err error) {
	r.count++
	r.last = fmt.Errorf("entry %.200q is refused: %w", dn, err)
}

// bring copies entries that were read. One that the slave refuses must not hold up those behind
// it, revocations above all: they are then copied one by one, and it is noted,
// and tried again by the next comparison. Misplaced says that one could not be
// placed, for what is above or below it.
func (w *worker) bring(ctx context.Context, r *reading, m *meanwhile) (drift Drift, misplaced bool, err error) {
	drift, err = w.settle(ctx, r, m)
	if !isOfEntry(err) {
		return drift, false, err
	}
	// drift has all that differed, so what is refused goes off it.
	for _, dn := range r.dns {
		one, err := w.copy(ctx, []string{dn}, m)
		if err == nil {
			continue
		}
		if drift = drift.plus(Drift{-one.Missing, -one.Changed, -one.Extra}); !isOfEntry(err) {
			return drift, misplaced, err
		}
		misplaced = misplaced || errors.Is(err, ErrNotFound) || errors.Is(err, ErrNotLeaf)
		if w.comparing != nil {
			w.comparing.add(dn, err)
			continue
		}
		w.mu.Lock()
		w.refused.add(dn, err)
		w.mu.Unlock()
	}
	return drift, misplaced, nil
}

// isOfEntry says whether an error is the slave's refusal of a write.
func isOfEntry(err error) bool {
	var w *writeError
	return errors.As(err, &w) && isRefusal(err)
}
