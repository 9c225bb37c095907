package ocsp

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrOverload: a request was shed, since too many are being signed or wait.
var ErrOverload = errors.New("too many requests wait to be signed")

// Lane bounds a sort of requests that cost a look-up and a signature.
type Lane struct {
	// Concurrency is how many are worked on at a time, Queue how many more may
	// wait, Wait how long each of them at most.
	Concurrency, Queue int
	Wait               time.Duration
}

const (
	maxLane     = 4096
	maxLaneWait = 10 * time.Second
)

func (l Lane) check(name string) error {
	if l.Concurrency < 1 || l.Concurrency > maxLane || l.Queue < 0 || l.Queue > maxLane || l.Wait < 0 || l.Wait > maxLaneWait {
		return fmt.Errorf("%s: %d at a time, %d that wait, %s each: want 1 to %d, 0 to %d, at most %s", name, l.Concurrency, l.Queue, l.Wait, maxLane, maxLane, maxLaneWait)
	}
	return nil
}

// lane lets requests in, first come, first served.
type lane struct {
	bounds  Lane
	slots   chan struct{}
	waiting atomic.Int64
	shed    atomic.Uint64
}

func newLane(l Lane) *lane { return &lane{bounds: l, slots: make(chan struct{}, l.Concurrency)} }

// enter waits for a slot; after nil the caller leaves.
func (l *lane) enter(ctx context.Context) error {
	select {
	case l.slots <- struct{}{}:
		return nil
	default:
	}
	if l.waiting.Add(1) > int64(l.bounds.Queue) {
		l.waiting.Add(-1)
		l.shed.Add(1)
		return ErrOverload
	}
	defer l.waiting.Add(-1)
	timer := time.NewTimer(l.bounds.Wait)
	defer timer.Stop()
	select {
	case l.slots <- struct{}{}:
		return nil
	case <-timer.C:
		l.shed.Add(1)
		return ErrOverload
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lane) leave() { <-l.slots }
