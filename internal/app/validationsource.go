package app

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
)

// replicaSource answers for the OCSP responder from a node's replica.
type replicaSource struct {
	store watchedReplica
	// known says how far the replica has come; it may be behind the store.
	known func() replica.State
}

// errFilling makes OCSP say tryLater: unknown would be a wrong answer for what
// was issued and has not arrived yet.
var errFilling = errors.New("the replica is being filled")

// AsOf implements ocsp.Source: while nobody pushes, the answers grow old.
func (s replicaSource) AsOf(time.Time) (time.Time, error) {
	asOf := s.known().AsOf
	if asOf.IsZero() {
		return time.Time{}, errFilling
	}
	return asOf, nil
}

// Version implements ocsp.Source.
func (s replicaSource) Version(serial pki.Serial) (uint64, bool) {
	return s.store.changes.Version(serial)
}

// Status implements ocsp.Source.
func (s replicaSource) Status(ctx context.Context, issuer ocsp.IssuerKey, serial pki.Serial) (ocsp.Status, error) {
	if err := ctx.Err(); err != nil {
		return ocsp.Status{}, err
	}
	// A read of a local file that no writer holds up ends by itself, in less time
	// than it takes to watch for the end of ctx.
	r, err := s.store.Status(context.WithoutCancel(ctx), authority.IssuerKey(issuer), serial)
	switch {
	case errors.Is(err, replica.ErrNotFound) && !s.holdsAll():
		return ocsp.Status{}, errFilling
	case errors.Is(err, replica.ErrNotFound):
		return ocsp.Status{}, nil
	case err != nil:
		return ocsp.Status{}, err
	case r.Revocation != nil:
		return revokedStatus(r.Revocation), nil
	}
	return ocsp.Status{State: ocsp.Good}, nil
}

// holdsAll says whether what is not held was never issued.
func (s replicaSource) holdsAll() bool {
	known := s.known()
	return known.Filled && !known.Refilling
}

// watchedReplica counts what pushes change: nothing else writes a replica, and
// no other process does.
type watchedReplica struct {
	replica.Store
	changes *ocsp.Changes
}

func watchReplica(store replica.Store) watchedReplica {
	return watchedReplica{store, ocsp.NewChanges()}
}

// Apply implements replica.Store.
func (s watchedReplica) Apply(ctx context.Context, p replica.Push, at time.Time) (replica.State, error) {
	// Also when it fails, for it may have been persisted.
	defer s.changes.Begin(serialsOf(p.Changes))()
	state, err := s.Store.State(ctx)
	if err != nil || p.Refill || state.Refilling {
		// While a replica is filled anew a push may drop serials that it does not name.
		defer s.changes.BeginAll()()
	}
	return s.Store.Apply(ctx, p, at)
}

func serialsOf(changes []replica.Change) iter.Seq[pki.Serial] {
	return func(yield func(pki.Serial) bool) {
		for _, c := range changes {
			if !yield(c.Serial) {
				return
			}
		}
	}
}
