package ocsp

import (
	"hash/maphash"
	"iter"
	"sync/atomic"

	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	// stripes of Changes, 8 bytes each. Serials share them: a change makes a few
	// other answers be looked up again, and never lets an old one pass.
	stripes = 1 << 17
	// A counter has the changes under way in its lower bits, those that ended above.
	underWayBits = 20
	underWay     = 1<<underWayBits - 1
)

// Changes counts the changes of statuses, so that a signed response is given out
// again without looking the status up: it is for the writers of a [Source] that
// is written by this process alone. What it keeps is of one size, however many
// serials there are. All methods may be used concurrently.
type Changes struct {
	seed maphash.Seed
	// all counts those that may concern every serial.
	all      atomic.Uint64
	bySerial [stripes]atomic.Uint64
}

// NewChanges returns counters at zero.
func NewChanges() *Changes { return &Changes{seed: maphash.MakeSeed()} }

// Begin says that the statuses of these serials are about to change; end says
// that the change can be read, or did not come to be. Between the two nothing
// that was signed before is given out for them: Begin comes before the new state
// can be read, end after it. At most 2^20 changes are under way at a time. end is
// called once.
func (c *Changes) Begin(serials iter.Seq[pki.Serial]) (end func()) {
	for s := range serials {
		c.of(s).Add(1)
	}
	return func() {
		for s := range serials {
			c.of(s).Add(underWay) // one more has ended, one fewer is under way
		}
	}
}

// BeginAll is Begin for a change that may concern every serial.
func (c *Changes) BeginAll() (end func()) {
	c.all.Add(1)
	return func() { c.all.Add(underWay) }
}

// Version implements the method of [Source].
func (c *Changes) Version(serial pki.Serial) (version uint64, settled bool) {
	one, all := c.of(serial).Load(), c.all.Load()
	// Neither part ever falls, so that the same sum means the same parts.
	return one>>underWayBits + all>>underWayBits, one&underWay == 0 && all&underWay == 0
}

func (c *Changes) of(s pki.Serial) *atomic.Uint64 {
	return &c.bySerial[maphash.String(c.seed, string(s))%stripes]
}
