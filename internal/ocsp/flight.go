package ocsp

import (
	"context"
	"errors"
	"sync"

	"github.com/terrace-pki/terrace/internal/pki"
)

// flightKey names what is the same work: of looking up and signing, with the
// version of a settled source, or of signing alone, with a status. So who asks
// after a change does not get what was looked up before it.
type flightKey struct {
	authority *Authority
	certID    string
	version   uint64
	status    statusKey
}

// statusKey is a status as a response says it.
type statusKey struct {
	state     State
	revokedAt int64
	reason    pki.Reason
}

// flight is work under way, for all who ask for the same.
type flight struct {
	done     chan struct{}
	response []byte
	meta     Meta
}

type flights struct {
	mu   sync.Mutex
	open map[flightKey]*flight
}

var errNoResult = errors.New("respond to OCSP request: the work for it ended without a result")

// do has the first of those who ask at a time do the work; the others wait for
// it, each as long as its own ctx. The work must end by itself.
func (f *flights) do(ctx context.Context, key flightKey, work func() ([]byte, Meta)) ([]byte, Meta) {
	f.mu.Lock()
	if other, ok := f.open[key]; ok {
		f.mu.Unlock()
		select {
		case <-other.done:
			return other.response, other.meta
		case <-ctx.Done():
			return fail(TryLater, ctx.Err())
		}
	}
	mine := &flight{done: make(chan struct{})}
	mine.response, mine.meta = fail(InternalError, errNoResult) // in case the work panics
	f.open[key] = mine
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.open, key)
		f.mu.Unlock()
		close(mine.done)
	}()
	mine.response, mine.meta = work()
	return mine.response, mine.meta
}
