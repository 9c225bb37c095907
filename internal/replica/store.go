package replica

import (
	"context"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Store keeps a replica. All methods may be used concurrently; each reads what
// one Apply left, never the middle of one.
type Store interface {
	// Apply takes a checked push in, in one transaction that is durable once it
	// returns, and says how far the replica has come.
	//
	// It is idempotent and goes forward only: changes at or below the position,
	// a list whose number is not higher than that held of its kind for its shard, and a
	// configuration whose revision is not higher are left out; the position
	// becomes the greater of itself and Next, with the push's anchor, and the
	// replica counts as filled once it is not below Head: then at becomes AsOf. A
	// push that begins after the position changes nothing and returns the state
	// with ErrGap. at becomes PushedAt otherwise.
	//
	// A refill whose After is the position makes it 0 and drops nothing yet; with
	// another After it is left out. What comes while a replica is refilling
	// replaces what is from before, also a list with a higher number. A push that
	// ends at the head drops a bounded part of what no push has confirmed; the
	// one that drops the last of it ends the refilling. A replica of an earlier
	// release has no anchor; its position stays.
	Apply(ctx context.Context, p Push, at time.Time) (State, error)
	// State returns how far the replica has come, the zero State for a new one.
	State(ctx context.Context) (State, error)
	// Config returns the configuration, the zero Config when there is none.
	Config(ctx context.Context) (Config, error)
	// Status returns what is known of a serial, or ErrNotFound.
	Status(ctx context.Context, issuer authority.IssuerKey, serial pki.Serial) (Status, error)
	// CRL returns the current list of a shard, or ErrNotFound.
	CRL(ctx context.Context, issuer authority.IssuerKey, shard int32) (authority.CRL, error)
	// Delta returns the current delta of a shard, or ErrNotFound.
	Delta(ctx context.Context, issuer authority.IssuerKey, shard int32) (authority.CRL, error)
	// Audit returns what is held of the audit log, the zero Audit when nothing was pushed.
	// Apply makes it what [Audit.Take] says. A refill leaves it: a ledger that was
	// restored has to show that it is the same one.
	Audit(ctx context.Context) (Audit, error)
	Close() error
}
