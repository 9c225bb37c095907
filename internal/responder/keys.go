package responder

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emmansun/gmsm/sm3"
)

const (
	// keyInterval is the least time between two keys of a node that are certified
	// for the first time: each costs a serial of every CA that the node answers for.
	keyInterval = time.Hour
	// maxKnownKeys of a node; it may go back to each without waiting.
	maxKnownKeys = 8
)

// ErrKeyTooSoon: a node asks for another key again within an hour.
var ErrKeyTooSoon = errors.New("the node changed its key again within an hour: its device does not keep the key, or several processes run under its name; " +
	"mend that, and the next key is certified when the hour is over")

// nodeKeys are the keys of a node that this process has admitted. They are kept
// in memory alone: after a restart the first key is admitted whatever it is, and
// costs nothing when the ledger has its certificate of this window.
type nodeKeys struct {
	digests [][sm3.Size]byte
	changed time.Time // when the last one but the first came; zero when there is one
}

// admitKey lets a node have its first key, those it had, and one new key an hour.
func (s *Service) admitKey(node string, spki []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest, now := sm3.Sum(spki), s.now()
	k := s.keys[node]
	if slices.Contains(k.digests, digest) {
		return nil
	}
	if len(k.digests) > 0 {
		// A clock that was set back must not lock a node out.
		if since := now.Sub(k.changed); !k.changed.IsZero() && since >= 0 && since < keyInterval {
			return fmt.Errorf("%w, at %s", ErrKeyTooSoon, k.changed.Add(keyInterval).UTC().Format(time.RFC3339))
		}
		k.changed = now
	}
	k.digests = append(k.digests, digest)
	k.digests = k.digests[max(len(k.digests)-maxKnownKeys, 0):]
	s.keys[node] = k
	return nil
}
