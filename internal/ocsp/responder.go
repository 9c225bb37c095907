package ocsp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Bounds of a responder.
const (
	MinValidity = time.Minute
	MaxValidity = 7 * 24 * time.Hour
	// MaxAuthorities is the largest number of CA key generations of one responder.
	MaxAuthorities = 1024
	// DefaultCacheSize in responses, of some 1.5 KiB each.
	DefaultCacheSize = 4096
	maxCacheSize     = 1 << 20
)

// Config of a responder.
type Config struct {
	// Source is required.
	Source Source
	// Validity is nextUpdate - thisUpdate, MinValidity to MaxValidity. It is cut
	// where the responder certificate ends. A source that is a copy may be older
	// than it for no answer: then the responder says tryLater.
	Validity time.Duration
	// CacheSize is the number of signed responses that are kept: 0 means
	// DefaultCacheSize, a negative number none.
	CacheSize int
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// Responder answers OCSP requests. All methods may be used concurrently.
type Responder struct {
	source      Source
	validity    time.Duration
	now         func() time.Time
	cache       *cache
	authorities atomic.Pointer[[]*Authority]
}

// NewResponder returns a responder that serves no CA yet; see Replace.
func NewResponder(c Config) (*Responder, error) {
	if c.Source == nil {
		return nil, errors.New("new OCSP responder: source is missing")
	}
	if c.Validity < MinValidity || c.Validity > MaxValidity {
		return nil, fmt.Errorf("new OCSP responder: validity is %s, want %s to %s", c.Validity, MinValidity, MaxValidity)
	}
	if c.CacheSize > maxCacheSize {
		return nil, fmt.Errorf("new OCSP responder: cache size is %d, at most %d are allowed", c.CacheSize, maxCacheSize)
	}
	size := max(c.CacheSize, 0)
	if c.CacheSize == 0 {
		size = DefaultCacheSize
	}
	r := &Responder{source: c.Source, validity: c.Validity, now: c.Now, cache: newCache(size)}
	if r.now == nil {
		r.now = time.Now
	}
	r.authorities.Store(new([]*Authority))
	return r, nil
}

// Replace makes authorities the only ones that are served, from the next
// request on. It refuses two of the same CA key, and then changes nothing.
func (r *Responder) Replace(authorities []*Authority) error {
	if len(authorities) > MaxAuthorities {
		return fmt.Errorf("replace OCSP authorities: are %d, at most %d are allowed", len(authorities), MaxAuthorities)
	}
	type name struct{ subject, key string }
	seen := make(map[name]IssuerKey, len(authorities))
	for _, a := range authorities {
		n := name{string(a.issuer.nameHash[SHA256]), string(a.issuer.keyHash[SHA256])}
		if other, ok := seen[n]; ok {
			return fmt.Errorf("replace OCSP authorities: %v and %v have the same name and key; a CertID cannot tell them apart", other, a.key)
		}
		seen[n] = a.key
	}
	copied := append([]*Authority(nil), authorities...)
	r.authorities.Store(&copied)
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
	// Err is why the response is no success, for logs; clients do not see it.
	Err error
}

// Respond answers a request in DER. It always returns a response to send:
//
//   - malformedRequest when ParseRequest refuses it;
//   - unauthorized when no certificate in it is of a CA that is served, since
//     nobody may sign for those (RFC 6960 §2.3, RFC 5019 §2.2.3);
//   - tryLater when the source or the device fails, what the source knows is
//     older than a response is valid, or the responder certificate is not valid
//     now: each may be right a minute later;
//   - internalError when the signature does not verify;
//   - else a BasicOCSPResponse with one answer for each CertID, in order.
//
// A responder certificate speaks for the CA that issued it, and for no other
// (RFC 6960 §4.2.2.2). In a request for certificates of several CAs, the first
// CA that is served signs, and those of all others are unknown, for which a
// client asks again with a request of their own.
func (r *Responder) Respond(ctx context.Context, request []byte) ([]byte, Meta) {
	req, err := ParseRequest(request)
	if err != nil {
		return fail(MalformedRequest, err)
	}
	authority := r.match(req.CertIDs)
	if authority == nil {
		return fail(Unauthorized, errors.New("respond to OCSP request: none of its issuers is served"))
	}
	// thisUpdate is before the look-up: the status was right then or later. And
	// the look-up is before the cache, so that a revocation is seen at once. The
	// time of the look-up is no part of the cache's key: what was signed as of an
	// earlier time says so, and is valid until its own nextUpdate.
	now := r.now()
	asOf, err := r.source.AsOf(now)
	if err != nil {
		return fail(TryLater, fmt.Errorf("respond to OCSP request: %w", err))
	}
	statuses, err := r.statuses(ctx, authority, req.CertIDs)
	if err != nil {
		return fail(TryLater, fmt.Errorf("respond to OCSP request: %w", err))
	}
	reusable := req.Nonce == nil && len(req.CertIDs) == 1 && statuses[0].State != Unknown
	var key cacheKey
	if reusable {
		key = newCacheKey(authority, req.CertIDs[0], statuses[0])
		if entry, ok := r.cache.get(key, now); ok {
			meta := entry.meta
			meta.Cached = true
			return entry.response, meta
		}
	}
	response, meta := r.sign(authority, req, statuses, now, asOf)
	if reusable && meta.Status == Successful {
		meta.Reusable = true
		r.cache.put(&cacheEntry{key: key, response: response, meta: meta})
	}
	return response, meta
}

func newCacheKey(a *Authority, id CertID, s Status) cacheKey {
	key := cacheKey{certificate: a.fingerprint, certID: string(id.Raw), state: s.State}
	if s.State == Revoked {
		key.revokedAt, key.reason = s.RevokedAt.Unix(), int(s.Reason)
	}
	return key
}

func fail(status ResponseStatus, err error) ([]byte, Meta) {
	return ErrorResponse(status), Meta{Status: status, Err: err}
}

// match returns the authority of the first CertID that has one.
func (r *Responder) match(ids []CertID) *Authority {
	authorities := *r.authorities.Load()
	for _, id := range ids {
		for _, a := range authorities {
			if a.issuer.Match(id) {
				return a
			}
		}
	}
	return nil
}

func (r *Responder) statuses(ctx context.Context, a *Authority, ids []CertID) ([]Status, error) {
	statuses := make([]Status, len(ids))
	for i, id := range ids {
		if id.Serial == "" || !a.issuer.Match(id) {
			continue // Unknown
		}
		var err error
		if statuses[i], err = r.source.Status(ctx, a.key, id.Serial); err != nil {
			return nil, fmt.Errorf("look up status: %w", err)
		}
	}
	return statuses, nil
}

func (r *Responder) sign(a *Authority, req *Request, statuses []Status, now, asOf time.Time) ([]byte, Meta) {
	if asOf.After(now) { // the clock was set back
		asOf = now
	}
	producedAt, thisUpdate := now.UTC().Truncate(time.Second), asOf.UTC().Truncate(time.Second)
	nextUpdate := thisUpdate.Add(r.validity)
	if !now.Before(nextUpdate) {
		return fail(TryLater, fmt.Errorf("sign OCSP response: the statuses are those of %s, and a response is valid for %s: what is known must be brought up to date",
			thisUpdate.Format(time.RFC3339), r.validity))
	}
	if end := a.certificate.NotAfter.UTC(); end.Before(nextUpdate) {
		nextUpdate = end
	}
	if now.Before(a.certificate.NotBefore) || !producedAt.Before(nextUpdate) {
		return fail(TryLater, fmt.Errorf("sign OCSP response: responder certificate of %s is valid from %s to %s, not now", a.key.Authority,
			a.certificate.NotBefore.UTC().Format(time.RFC3339), a.certificate.NotAfter.UTC().Format(time.RFC3339)))
	}
	data := responseData{keyID: a.keyID, producedAt: producedAt, nonce: req.Nonce, responses: make([]SingleResponse, len(statuses))}
	meta := Meta{Status: Successful, States: make([]State, len(statuses)), ThisUpdate: thisUpdate, NextUpdate: nextUpdate,
		RefreshAt: producedAt.Add(nextUpdate.Sub(producedAt) / 2)}
	for i, s := range statuses {
		data.responses[i] = SingleResponse{CertID: req.CertIDs[i], Status: s, ThisUpdate: thisUpdate, NextUpdate: nextUpdate}
		meta.States[i] = s.State
	}
	tbs, err := data.marshal()
	if err != nil {
		return fail(InternalError, fmt.Errorf("encode OCSP response: %w", err))
	}
	signature, err := a.signer.SignMessage(rand.Reader, tbs, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return fail(TryLater, fmt.Errorf("sign OCSP response: %w", err))
	}
	if !pki.VerifySignature(a.public, tbs, signature) {
		return fail(InternalError, errors.New("sign OCSP response: the signature does not verify under the responder's key; the device may be faulty"))
	}
	response, err := assemble(tbs, signature, a.certificate.Raw)
	if err != nil {
		return fail(InternalError, fmt.Errorf("encode OCSP response: %w", err))
	}
	return response, meta
}
