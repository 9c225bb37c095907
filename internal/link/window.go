package link

import (
	"fmt"
	"sync"
	"time"
)

// Tolerance is how far a message's time may be from the receiver's: clocks
// differ, and messages travel.
const Tolerance = 2 * time.Minute

// maxSeen bounds the memory of one peer's messages to about 30 MB; it is enough
// for a thousand calls a second without end.
const maxSeen = 1 << 18

// window remembers the messages of one peer for as long as their time would
// let them pass again. It is in memory: an earlier incarnation's messages are
// refused for their epoch.
type window struct {
	mu   sync.Mutex
	max  int
	seen map[id]struct{}
	// queue is in the order of arrival, and therefore of forgetting.
	queue []arrival
	// floor is the latest time of a forgotten message. What is not later is
	// refused, so that setting the clock back brings no message to life again.
	floor time.Time
}

type arrival struct {
	id       id
	at       time.Time
	received time.Time
}

func newWindow(max int) *window { return &window{max: max, seen: map[id]struct{}{}} }

// admit takes a message in once. The errors wrap ErrStale, ErrFuture, ErrReplay
// or ErrBusy. Only verified messages may be given to it, for others would fill it.
func (w *window) admit(now, at time.Time, message id) error {
	if err := fresh(now, at); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(now)
	if !at.After(w.floor) {
		return fmt.Errorf("%w: dated %s, which is not after messages that were forgotten already; was this clock set back?", ErrStale, at.UTC().Format(time.RFC3339))
	}
	if _, ok := w.seen[message]; ok {
		return fmt.Errorf("%w: id %x", ErrReplay, message[:])
	}
	if len(w.seen) >= w.max {
		return fmt.Errorf("%w: %d messages of this peer within %s", ErrBusy, len(w.seen), 2*Tolerance)
	}
	w.seen[message] = struct{}{}
	w.queue = append(w.queue, arrival{message, at, now})
	return nil
}

// forget drops what could not pass again: dated at most Tolerance after its
// arrival, it is stale 2*Tolerance after it.
func (w *window) forget(now time.Time) {
	n := 0
	for n < len(w.queue) && now.Sub(w.queue[n].received) > 2*Tolerance {
		if at := w.queue[n].at; at.After(w.floor) {
			w.floor = at
		}
		delete(w.seen, w.queue[n].id)
		n++
	}
	w.queue = w.queue[n:]
}

func fresh(now, at time.Time) error {
	switch age := now.Sub(at); {
	case age > Tolerance:
		return fmt.Errorf("%w: dated %s, received %s, more than %s later; set the clocks", ErrStale, at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), Tolerance)
	case age < -Tolerance:
		return fmt.Errorf("%w: dated %s, received %s, more than %s earlier; set the clocks", ErrFuture, at.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), Tolerance)
	}
	return nil
}
