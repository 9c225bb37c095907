package authority

import "context"

// ChangeKind says what a Change is about.
type ChangeKind string

// Kinds of changes.
const (
	// ChangeSerial: a serial was issued, revoked, held, released or abandoned.
	ChangeSerial ChangeKind = "Serial"
	// ChangeCRL: a shard's full list became current.
	ChangeCRL ChangeKind = "CRL"
	// ChangeDelta: a shard has a new delta.
	ChangeDelta ChangeKind = "Delta"
	// ChangeAccepted: an accepted spec changed.
	ChangeAccepted ChangeKind = "Accepted"
)

// MaxChanges is the largest number of changes that one call of a Feed handles.
const MaxChanges = 1000

// Change tells consumers what to look at. It carries the present state, not the
// state at the time of the change, so that reading again always converges.
type Change struct {
	// Seq numbers the changes without a gap, from 1.
	Seq  int64
	Kind ChangeKind
	// Record of a ChangeSerial, Issued or Abandoned.
	Record *Record
	// CRL of a ChangeCRL or ChangeDelta: the current list or delta of its shard.
	CRL *CRL
	// Accepted of a ChangeAccepted.
	Accepted *Accepted
}

// Feed tells consumers (directories, validation nodes) what changed.
//
// A change is written, with its number, in the transaction of what it tells of;
// numbers become visible in their order, so that nothing can appear behind a reader's back.
// Nothing is ever removed: a new consumer begins at 0.
type Feed interface {
	// Changes returns at most limit changes, 1 to MaxChanges, numbered above
	// after, in order; fewer when they are large. Of several changes of one thing
	// in the answer only the last may be kept, so numbers may have gaps within it.
	// next is the number to go on from: at least the last change's, and after
	// itself when there is none.
	Changes(ctx context.Context, after int64, limit int) (changes []Change, next int64, err error)
	// Head returns the highest number, 0 when there is none.
	Head(ctx context.Context) (int64, error)
	// Anchor returns the SM3 digest of what never changes in the change of a
	// number: the number itself, its kind, its subject and when it was written. Two
	// ledgers that gave a number to different changes, as one that was restored
	// from an older backup did, have different anchors for it. ErrNotFound when no
	// change has the number.
	Anchor(ctx context.Context, seq int64) ([]byte, error)
	// Position returns what a consumer last confirmed, 0 for a new one.
	Position(ctx context.Context, consumer string) (int64, error)
	// SetPosition keeps what a consumer confirmed, at most 400 bytes of name. It
	// may go back, to read again from there. Fenced.
	SetPosition(ctx context.Context, consumer string, seq int64) error
}
