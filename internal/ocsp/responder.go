package ocsp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Bounds of a responder.
const (
	MinValidity = time.Minute
	MaxValidity = 7 * 24 * time.Hour
	// MaxAuthorities is the largest number of CA key generations of one responder.
	MaxAuthorities = 1024
	// workTimeout bounds the look-up and the signature of one response, and the
	// wait for them.
	workTimeout = 10 * time.Second
)

// Config of a responder.
type Config struct {
	// Source is required.
	Source Source
	// Validity is nextUpdate - thisUpdate, MinValidity to MaxValidity. It is cut
	// where the responder certificate ends. A source that is a copy may be older
	// than it for no answer: then the responder says tryLater.
	Validity time.Duration
	// Shared is common to the responders of a process; nil makes one with the
	// defaults for this responder alone.
	Shared *Shared
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// Responder answers OCSP requests. All methods may be used concurrently.
type Responder struct {
	source      Source
	validity    time.Duration
	now         func() time.Time
	shared      *Shared
	authorities atomic.Pointer[map[issuerName]*Authority]
}

// NewResponder returns a responder that serves no CA yet; see Replace.
func NewResponder(c Config) (*Responder, error) {
	if c.Source == nil {
		return nil, errors.New("new OCSP responder: source is missing")
	}
	if c.Validity < MinValidity || c.Validity > MaxValidity {
		return nil, fmt.Errorf("new OCSP responder: validity is %s, want %s to %s", c.Validity, MinValidity, MaxValidity)
	}
	r := &Responder{source: c.Source, validity: c.Validity, now: c.Now, shared: c.Shared}
	if r.shared == nil {
		var err error
		if r.shared, err = NewShared(SharedConfig{}); err != nil {
			return nil, fmt.Errorf("new OCSP responder: %w", err)
		}
	}
	if r.now == nil {
		r.now = time.Now
	}
	r.authorities.Store(&map[issuerName]*Authority{})
	return r, nil
}

// Replace makes authorities the only ones that are served, from the next
// request on. It refuses two of the same CA key, and then changes nothing.
func (r *Responder) Replace(authorities []*Authority) error {
	if len(authorities) > MaxAuthorities {
		return fmt.Errorf("replace OCSP authorities: are %d, at most %d are allowed", len(authorities), MaxAuthorities)
	}
	next := make(map[issuerName]*Authority, 3*len(authorities))
	for _, a := range authorities {
		for h := SHA1; h <= SM3; h++ {
			name, _ := nameOf(h, a.issuer.nameHash[h], a.issuer.keyHash[h])
			if other, ok := next[name]; ok {
				return fmt.Errorf("replace OCSP authorities: %v and %v have the same name and key; a CertID cannot tell them apart", other.key, a.key)
			}
			next[name] = a
		}
	}
	r.authorities.Store(&next)
	return nil
}

// Meta says what a response is, for HTTP headers, metrics and logs.
type Meta struct {
	Status ResponseStatus
	// States are those of the certificates, in order; none unless Successful.
	States []State
	// ThisUpdate and NextUpdate are those of the response, whole seconds.
	ThisUpdate, NextUpdate time.Time
	// RefreshAt is when this responder will sign anew: half-way from the signature
	// to NextUpdate.
	RefreshAt time.Time
	// Reusable says that others may be given the response until RefreshAt: it
	// has no nonce and one certificate, whose status is known.
	Reusable bool
	// Cached says that it was signed for an earlier request.
	Cached bool
	// Digest names the bytes of a Reusable response: SHA-256 in hexadecimal.
	Digest string
	// Err is why the response is no success, for logs; clients do not see it.
	Err error
}

// Respond answers a request in DER. It always returns a response to send:
//
//   - malformedRequest when ParseRequest refuses it;
//   - unauthorized when no certificate in it is of a CA that is served, since
//     nobody may sign for those (RFC 6960 §2.3, RFC 5019 §2.2.3);
//   - tryLater when the source or the device fails, what the source knows is
//     older than a response is valid, the responder certificate is not valid now,
//     or too many wait to be signed (Meta.Err wraps [ErrOverload]): each may be
//     right a minute later;
//   - internalError when the signature does not verify;
//   - else a BasicOCSPResponse with one answer for each CertID, in order.
//
// A responder certificate speaks for the CA that issued it, and for no other
// (RFC 6960 §4.2.2.2). In a request for certificates of several CAs, the first
// CA that is served signs, and those of all others are unknown, for which a
// client asks again with a request of their own.
//
// A response that was signed before is given out again while nothing has changed:
// a status that the source has when Respond is called, or a newer one, is in every
// response. The request is not kept.
func (r *Responder) Respond(ctx context.Context, request []byte) ([]byte, Meta) {
	var req Request
	if err := req.parse(request); err != nil {
		return fail(MalformedRequest, fmt.Errorf("parse OCSP request: %w", err))
	}
	a := r.match(req.CertIDs)
	if a == nil {
		return fail(Unauthorized, errors.New("respond to OCSP request: none of its issuers is served"))
	}
	if req.Nonce != nil || len(req.CertIDs) > 1 {
		return r.respondOnce(ctx, a, &req)
	}
	now := r.now()
	if _, err := r.source.AsOf(now); err != nil { // what is cached is as of an earlier time, and says so
		return fail(TryLater, fmt.Errorf("respond to OCSP request: %w", err))
	}
	id := req.CertIDs[0]
	// The version is read before the status is looked up: what changes in between
	// makes the version of the entry an old one.
	version, settled := r.source.Version(id.Serial)
	entry := r.shared.cache.get(r, &a.fingerprint, id.Raw, now)
	if entry != nil && settled && entry.settled && entry.version == version {
		return r.again(entry)
	}
	if !settled { // nobody else's look-up will do
		return r.respondReusable(ctx, a, id, version, settled)
	}
	return r.shared.flights.do(ctx, flightKey{authority: a, certID: string(id.Raw), version: version}, func() ([]byte, Meta) {
		return r.respondReusable(ctx, a, id, version, settled)
	})
}

// again gives a response out that was signed before.
func (r *Responder) again(entry *cacheEntry) ([]byte, Meta) {
	r.shared.hits.Add(1)
	meta := entry.meta
	meta.Cached = true
	return entry.response, meta
}

// respondReusable looks one certificate up. What is cached is right still if the
// status is the same; it says as of when it was, and is valid until its own
// nextUpdate.
func (r *Responder) respondReusable(ctx context.Context, a *Authority, id CertID, version uint64, settled bool) ([]byte, Meta) {
	// Others may wait for this too: it goes on when the first of them has left.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workTimeout)
	defer cancel()
	ids := []CertID{id}
	statuses, asOf, err := r.lookUp(ctx, a, ids)
	if err != nil {
		return fail(TryLater, err)
	}
	status := statuses[0].key()
	if status.state == Unknown {
		// It may be issued in the next moment, and there is no end of serials that
		// do not exist: they are signed beside the others, not in their place.
		return r.in(ctx, r.shared.single, func() ([]byte, Meta) { return r.sign(a, &Request{CertIDs: ids}, statuses, asOf) })
	}
	return r.shared.flights.do(ctx, flightKey{authority: a, certID: string(id.Raw), status: status}, func() ([]byte, Meta) {
		// Also when another signed it while this one looked up.
		if entry := r.shared.cache.get(r, &a.fingerprint, id.Raw, r.now()); entry != nil && entry.status == status {
			confirmed := *entry
			confirmed.version, confirmed.settled = version, settled
			r.shared.cache.put(&confirmed)
			return r.again(&confirmed)
		}
		response, meta := r.in(ctx, r.shared.reusable, func() ([]byte, Meta) { return r.sign(a, &Request{CertIDs: ids}, statuses, asOf) })
		if meta.Status == Successful {
			digest := sha256.Sum256(response)
			meta.Reusable, meta.Digest = true, hex.EncodeToString(digest[:])
			r.shared.cache.put(&cacheEntry{certID: string(id.Raw), responder: r, certificate: a.fingerprint, version: version, settled: settled,
				status: status, response: response, meta: meta})
		}
		return response, meta
	})
}

// respondOnce signs for one client alone. It looks nothing up while it has no
// place: that is the others'.
func (r *Responder) respondOnce(ctx context.Context, a *Authority, req *Request) ([]byte, Meta) {
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	return r.in(ctx, r.shared.single, func() ([]byte, Meta) {
		statuses, asOf, err := r.lookUp(ctx, a, req.CertIDs)
		if err != nil {
			return fail(TryLater, err)
		}
		return r.sign(a, req, statuses, asOf)
	})
}

// in does the work in a lane.
func (r *Responder) in(ctx context.Context, l *lane, work func() ([]byte, Meta)) ([]byte, Meta) {
	if err := l.enter(ctx); err != nil {
		return fail(TryLater, fmt.Errorf("respond to OCSP request: %w", err))
	}
	defer l.leave()
	return work()
}

func fail(status ResponseStatus, err error) ([]byte, Meta) {
	return ErrorResponse(status), Meta{Status: status, Err: err}
}

// match returns the authority of the first CertID that has one.
func (r *Responder) match(ids []CertID) *Authority {
	authorities := *r.authorities.Load()
	for _, id := range ids {
		if name, ok := nameOf(id.Hash, id.NameHash, id.KeyHash); ok && authorities[name] != nil {
			return authorities[name]
		}
	}
	return nil
}

// lookUp reads the statuses, and before them the time as of which they are
// right: they were right then or later.
func (r *Responder) lookUp(ctx context.Context, a *Authority, ids []CertID) (statuses []Status, asOf time.Time, err error) {
	if err := r.shared.lookUps.enter(ctx); err != nil {
		return nil, asOf, fmt.Errorf("respond to OCSP request: look up status: %w", err)
	}
	defer r.shared.lookUps.leave()
	if asOf, err = r.source.AsOf(r.now()); err != nil {
		return nil, asOf, fmt.Errorf("respond to OCSP request: %w", err)
	}
	statuses = make([]Status, len(ids))
	for i, id := range ids {
		if id.Serial == "" || !a.issuer.Match(id) {
			continue // Unknown
		}
		if statuses[i], err = r.source.Status(ctx, a.key, id.Serial); err != nil {
			return nil, asOf, fmt.Errorf("respond to OCSP request: look up status: %w", err)
		}
	}
	return statuses, asOf, nil
}
