package ocsp

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Defaults of SharedConfig, and what is allowed at most.
const (
	DefaultCacheEntries = 1 << 16
	DefaultCacheBytes   = 64 << 20
	maxCacheEntries     = 1 << 24
	maxCacheBytes       = 16 << 30
)

// The lanes of SharedConfig by default. Together they are more than the sessions
// that a token has by default, so that it never waits for us, and a device that
// signs a hundred times a second still empties the queue in about the wait.
var (
	DefaultReusable = Lane{Concurrency: 16, Queue: 128, Wait: time.Second}
	DefaultSingle   = Lane{Concurrency: 4, Queue: 16, Wait: time.Second}
	// DefaultLookUps has room for every connection: a look-up is short, and
	// whoever asks for serials that do not exist must not shed the others.
	DefaultLookUps = Lane{Concurrency: 16, Queue: 4096, Wait: time.Second}
)

// SharedConfig bounds what the responders of one process use together. Zero
// values mean the defaults.
type SharedConfig struct {
	// CacheEntries and CacheBytes bound the signed responses that are kept; a
	// response is some 1.3 KiB, and 0.6 KiB more around it. Negative CacheEntries
	// keep none.
	CacheEntries, CacheBytes int
	// Reusable bounds the requests whose responses serve others too: for one
	// certificate, without a nonce. Single bounds all others, which are signed for
	// one client alone: with a nonce, for several certificates, or for one that
	// is unknown. Whoever floods one lane leaves the other as it is.
	Reusable, Single Lane
	// LookUps bounds the questions to the source, of all of them together.
	LookUps Lane
}

// Shared is what the responders of one process share: signed responses, and the
// right to sign. All methods may be used concurrently.
type Shared struct {
	cache            *cache
	reusable, single *lane
	lookUps          *lane
	flights          flights
	hits, signed     atomic.Uint64
}

// NewShared checks the bounds.
func NewShared(c SharedConfig) (*Shared, error) {
	if c.CacheEntries == 0 {
		c.CacheEntries = DefaultCacheEntries
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = DefaultCacheBytes
	}
	if c.CacheEntries > maxCacheEntries || c.CacheBytes < 0 || c.CacheBytes > maxCacheBytes {
		return nil, fmt.Errorf("OCSP cache: %d responses in %d bytes, at most %d in %d are allowed", c.CacheEntries, c.CacheBytes, maxCacheEntries, maxCacheBytes)
	}
	if c.Reusable == (Lane{}) {
		c.Reusable = DefaultReusable
	}
	if c.Single == (Lane{}) {
		c.Single = DefaultSingle
	}
	if c.LookUps == (Lane{}) {
		c.LookUps = DefaultLookUps
	}
	if err := c.LookUps.check("OCSP look-ups"); err != nil {
		return nil, err
	}
	if err := c.Reusable.check("OCSP requests for reusable responses"); err != nil {
		return nil, err
	}
	if err := c.Single.check("OCSP requests for responses of one client"); err != nil {
		return nil, err
	}
	return &Shared{cache: newCache(max(c.CacheEntries, 0), c.CacheBytes), reusable: newLane(c.Reusable), single: newLane(c.Single), lookUps: newLane(c.LookUps),
		flights: flights{open: map[flightKey]*flight{}}}, nil
}

// Usage of a Shared, for metrics; what is not "now" is since the start.
type Usage struct {
	// Hits were answered with a response signed before, Signed signed.
	Hits, Signed uint64
	// Entries and Bytes are what the cache keeps now, about.
	Entries, Bytes            int
	Reusable, Single, LookUps LaneUsage
}

// LaneUsage of one lane.
type LaneUsage struct {
	// Active are worked on and Waiting wait, now.
	Active, Waiting int
	// Shed were answered with tryLater.
	Shed uint64
}

// Usage returns the numbers as they are now.
func (s *Shared) Usage() Usage {
	u := Usage{Hits: s.hits.Load(), Signed: s.signed.Load(), Reusable: s.reusable.usage(), Single: s.single.usage(), LookUps: s.lookUps.usage()}
	u.Entries, u.Bytes = s.cache.usage()
	return u
}

func (l *lane) usage() LaneUsage {
	return LaneUsage{Active: len(l.slots), Waiting: int(max(l.waiting.Load(), 0)), Shed: l.shed.Load()}
}
