package ocsp

import (
	"context"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
)

// IssuerKey names one key generation of a CA, as the source of statuses knows it.
type IssuerKey struct {
	// Authority is "kind/namespace/name" of the CA object.
	Authority string
	// Generation counts the CA's keys, from 1.
	Generation int32
}

// State is the CertStatus of RFC 6960 §4.2.1.
type State int

// States. The zero value is Unknown, so that a forgotten field never says good.
const (
	// Unknown: not issued under this issuer, as far as the source knows.
	Unknown State = iota
	// Good: issued and not revoked.
	Good
	// Revoked, for ever or, with ReasonCertificateHold, for now.
	Revoked
)

// String is the name in RFC 6960.
func (s State) String() string {
	switch s {
	case Good:
		return "good"
	case Revoked:
		return "revoked"
	default:
		return "unknown"
	}
}

// Status of one certificate.
type Status struct {
	State State
	// RevokedAt and Reason are of Revoked alone. A reason that may not stand on
	// a CRL is left out of the response.
	RevokedAt time.Time
	Reason    pki.Reason
}

// key is the same for statuses that one response is right for: times are of
// whole seconds.
func (s Status) key() statusKey {
	if s.State != Revoked {
		return statusKey{state: s.State}
	}
	return statusKey{s.State, s.RevokedAt.Unix(), s.Reason}
}

// Source knows the status of every serial of the CAs that a responder serves.
//
// Status answers Unknown, without error, for a serial that was never used, is
// reserved only or is being signed; Revoked for one that was abandoned, since a
// signature under it may exist; Good for what was issued and is not revoked. What a
// revocation wrote is in every answer after it. An error means that the source
// cannot be asked now; the responder then says tryLater and nothing else.
// Status may be called concurrently, and returns soon after ctx ends.
//
// AsOf returns the time up to which everything is known that Status says after
// this call, which is thisUpdate of the responses (RFC 6960 §2.4): now for a source
// that is the record itself, an earlier time for a copy of it. An error means
// that it is not known, as while a copy is made for the first time.
//
// Version tells without waiting whether a status may have changed: between two
// calls that return the same version, both settled, Status returned the same for
// this serial of every issuer. A source that is written by others too is never
// settled, and is asked for the status on each request. See [Changes].
type Source interface {
	AsOf(now time.Time) (time.Time, error)
	Status(ctx context.Context, issuer IssuerKey, serial pki.Serial) (Status, error)
	Version(serial pki.Serial) (version uint64, settled bool)
}
