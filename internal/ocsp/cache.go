package ocsp

import (
	"container/list"
	"sync"
	"time"
)

// cacheKey holds everything that a cached response depends on but the time: a
// status that changed, or a new responder certificate, is another key.
type cacheKey struct {
	certificate [32]byte // SHA-256 of the responder certificate
	certID      string
	state       State
	revokedAt   int64
	reason      int
}

type cacheEntry struct {
	key      cacheKey
	response []byte
	meta     Meta
}

// cache keeps the responses that were used last. The zero value with size 0
// keeps nothing.
type cache struct {
	size int

	mu      sync.Mutex
	entries map[cacheKey]*list.Element
	order   list.List // of *cacheEntry, used last in front
}

func newCache(size int) *cache {
	return &cache{size: size, entries: make(map[cacheKey]*list.Element)}
}

// get returns a response that is still to be given out at now.
func (c *cache) get(key cacheKey, now time.Time) (*cacheEntry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[key]
	if !ok {
		return nil, false
	}
	entry := element.Value.(*cacheEntry)
	// A clock that was set back must not bring a response from the future.
	if !now.Before(entry.meta.RefreshAt) || now.Before(entry.meta.ThisUpdate) {
		c.remove(element)
		return nil, false
	}
	c.order.MoveToFront(element)
	return entry, true
}

func (c *cache) put(entry *cacheEntry) {
	if c.size == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.entries[entry.key]; ok {
		c.remove(old)
	}
	for len(c.entries) >= c.size {
		c.remove(c.order.Back())
	}
	c.entries[entry.key] = c.order.PushFront(entry)
}

func (c *cache) remove(e *list.Element) {
	delete(c.entries, e.Value.(*cacheEntry).key)
	c.order.Remove(e)
}
