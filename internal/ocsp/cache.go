package ocsp

import (
	"container/list"
	"hash/maphash"
	"sync"
	"time"
)

const (
	// cacheShards have a lock each. A small cache has one, so that its bounds are exact.
	cacheShards     = 16
	smallCache      = 1024
	cacheEntryBytes = 640 // of an entry beside its response and its key, about
)

// cacheEntry is a signed response for one CertID without a nonce. It is not
// changed once it is in a cache.
type cacheEntry struct {
	certID    string
	responder *Responder
	// certificate is the fingerprint of the responder certificate: with another one, it is signed anew.
	certificate [32]byte
	// version of the source before the status was looked up; what is not settled
	// is looked up again each time.
	version  uint64
	settled  bool
	status   statusKey
	response []byte
	meta     Meta
}

func (e *cacheEntry) size() int { return cacheEntryBytes + len(e.certID) + len(e.response) }

// cache keeps the responses that were used last, bounded in number and bytes.
type cache struct {
	seed   maphash.Seed
	shards []cacheShard
}

type cacheShard struct {
	most, mostBytes int

	mu      sync.Mutex
	entries map[string]*list.Element // by CertID in DER
	order   list.List                // of *cacheEntry, used last in front
	bytes   int
}

func newCache(entries, bytes int) *cache {
	n := cacheShards
	if entries < smallCache {
		n = 1
	}
	c := &cache{seed: maphash.MakeSeed(), shards: make([]cacheShard, n)}
	for i := range c.shards {
		c.shards[i].most, c.shards[i].mostBytes, c.shards[i].entries = entries/n, bytes/n, map[string]*list.Element{}
	}
	return c
}

// get returns the response of r under a certificate that is still to be given out at now.
func (c *cache) get(r *Responder, certificate *[32]byte, certID []byte, now time.Time) *cacheEntry {
	s := &c.shards[maphash.Bytes(c.seed, certID)%uint64(len(c.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	element, ok := s.entries[string(certID)]
	if !ok {
		return nil
	}
	entry := element.Value.(*cacheEntry)
	// A clock that was set back must not bring a response from the future.
	if entry.responder != r || entry.certificate != *certificate || !now.Before(entry.meta.RefreshAt) || now.Before(entry.meta.ThisUpdate) {
		s.remove(element)
		return nil
	}
	s.order.MoveToFront(element)
	return entry
}

// put keeps an entry in place of one for the same CertID.
func (c *cache) put(entry *cacheEntry) {
	s := &c.shards[maphash.String(c.seed, entry.certID)%uint64(len(c.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.entries[entry.certID]; ok {
		s.remove(old)
	}
	if entry.size() > s.mostBytes {
		return
	}
	for len(s.entries) > 0 && (len(s.entries) >= s.most || s.bytes+entry.size() > s.mostBytes) {
		s.remove(s.order.Back())
	}
	if s.most > 0 {
		s.entries[entry.certID] = s.order.PushFront(entry)
		s.bytes += entry.size()
	}
}

func (s *cacheShard) remove(e *list.Element) {
	entry := e.Value.(*cacheEntry)
	delete(s.entries, entry.certID)
	s.order.Remove(e)
	s.bytes -= entry.size()
}

// usage counts entries and bytes.
func (c *cache) usage() (entries, bytes int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		entries, bytes = entries+len(s.entries), bytes+s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}
