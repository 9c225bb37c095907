package authority

import (
	"context"
	"errors"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
)

// MaxSlice is the largest number of identities in one pass of the issuance cycle.
const MaxSlice = 256

// IssuerKey names one key generation of a CA. Serials, revocations and CRLs
// are kept per IssuerKey.
type IssuerKey struct {
	// Authority is "IndustryCA/namespace/name" or "BusinessCA/namespace/name".
	Authority string
	// Generation counts the CA's keys, from 1.
	Generation int32
}

// Identity is what a certificate is issued for, once ever: the object's kind,
// namespace and name, and the digest of what it asks for. It survives the
// object and the API server that held it.
type Identity struct {
	Kind      string // at most 63 bytes
	Namespace string // at most 63 bytes
	Name      string // at most 253 bytes
	// Digest is SM3 over the versioned encoding of the request (Order.Digest).
	Digest [32]byte
}

// State is how far the attempt under a serial has come.
type State string

// States of a serial. The order is Drawn, Intended, then Issued or Abandoned.
const (
	// StateDrawn: Begin drew the serial; the ledger does not know it yet.
	StateDrawn State = "Drawn"
	// StateIntended: the device may have signed under it.
	StateIntended State = "Intended"
	// StateIssued: the certificate is recorded and delivered.
	StateIssued State = "Issued"
	// StateAbandoned: a crash came between intent and record. The serial stands
	// on the CRL and is never used again.
	StateAbandoned State = "Abandoned"
)

// Record is what the ledger knows of one serial.
type Record struct {
	Issuer   IssuerKey
	Serial   pki.Serial
	Shard    int32
	Identity Identity
	State    State
	// TBS is what was about to be signed, present while Intended or Abandoned.
	TBS []byte
	// Certificate is the DER, once Issued.
	Certificate []byte
	NotAfter    time.Time // zero while Drawn
	IssuedAt    time.Time
	Revocation  *Revocation // nil when not revoked
}

// Revocation of a serial. ReasonCertificateHold is a hold, which may be released.
type Revocation struct {
	At     time.Time
	Reason pki.Reason
}

// Begun is the answer of Begin for one identity.
type Begun struct {
	Record
	// Conflict: the name was used before with another digest; Record is that
	// earlier one and nothing was drawn.
	Conflict bool
	// Attempt counts the identity's serials, from 1: a next one is drawn when the
	// one before was Abandoned.
	Attempt int32
}

// Intent is what is about to be signed.
type Intent struct {
	// Identity, Serial, Shard and Attempt are those that Begin returned.
	Identity Identity
	Serial   pki.Serial
	Shard    int32
	Attempt  int32
	// TBS is DER.
	TBS      []byte
	NotAfter time.Time
}

// Issued is what was signed.
type Issued struct {
	Serial pki.Serial
	// Certificate is DER, over the TBS of the intent.
	Certificate []byte
}

// Errors of every ledger.
var (
	// ErrFenced: another process has taken the ledger over; this one must stop issuing.
	ErrFenced = errors.New("ledger was taken over by another process")
	// ErrState: a serial is not in the state that the call needs.
	ErrState = errors.New("serial is in another state")
	// ErrElsewhere: another process that shares the ledger has the identity in hand.
	ErrElsewhere = errors.New("another process is issuing this request; try again")
	// ErrNotFound: no such record.
	ErrNotFound = errors.New("not found in the ledger")
	// ErrStaleCRL: another list of the shard became current meanwhile.
	ErrStaleCRL = errors.New("another list of this shard was published meanwhile")
	// ErrRestored: the ledger may have forgotten certificates and revocations.
	ErrRestored = errors.New("the ledger was restored from a backup and may have forgotten certificates and revocations: run terrace ca reconcile first")
	// ErrArchived: the content of the certificate is not in the ledger any more.
	ErrArchived = errors.New("the ledger has the certificate's serial number and no longer its content, which was archived or was never known to it")
	// ErrKeyMismatch: the ledger knows another public key under that name.
	ErrKeyMismatch = errors.New("ledger knows another public key under this name")
)

// Ledger is the durable record of every serial that the authorities of a
// process have used.
//
// Opening a ledger for issuance takes it over from earlier processes of the same
// instance: it closes the attempts that they left Intended as Abandoned, and from
// then on every write of theirs fails with ErrFenced. A write is durable
// once it returns, with its audit leaf in the same transaction. All methods
// may be used concurrently. Slices hold at most MaxSlice elements.
type Ledger interface {
	// Begin returns one Begun per identity, in order. For a new identity, or one
	// whose attempts were all Abandoned, it draws a fresh serial under issuer
	// with shard = a value in [0, shards), of which nothing is written: until
	// RecordIntent, each call draws another. Identities of one call differ.
	Begin(ctx context.Context, issuer IssuerKey, shards int32, identities []Identity) ([]Begun, error)
	// RecordIntent makes drawn serials of issuer Intended, all or none:
	// ErrElsewhere when an identity got its attempt by another call meanwhile.
	RecordIntent(ctx context.Context, issuer IssuerKey, intents []Intent) error
	// RecordIssued moves serials from Intended to Issued, and adds a feed entry
	// each, all or none: ErrState when one is not Intended, ErrElsewhere when it is by another process.
	RecordIssued(ctx context.Context, issuer IssuerKey, issued []Issued) error
	// Abandon moves one serial from Intended to Abandoned: ErrState otherwise,
	// ErrElsewhere when it is Intended by another process.
	Abandon(ctx context.Context, issuer IssuerKey, serial pki.Serial) error
	// Find returns the newest record of kind, namespace and name, of whatever
	// digest, or ErrNotFound.
	Find(ctx context.Context, kind, namespace, name string) (Record, error)
}

// Revocations reads what was revoked; Acts writes it.
type Revocations interface {
	// Status returns the record of a serial, or ErrNotFound.
	Status(ctx context.Context, issuer IssuerKey, serial pki.Serial) (Record, error)
	// FindSerial returns the records with this serial under any issuer.
	FindSerial(ctx context.Context, serial pki.Serial) ([]Record, error)
	// Revoked calls yield, by serial, for each revoked or Abandoned serial of a
	// shard whose NotAfter is not before notAfter. Only Issuer, Shard, Serial,
	// NotAfter and Revocation of the records are filled. Abandoned serials carry a
	// Revocation at the time of abandonment with ReasonCessationOfOperation.
	Revoked(ctx context.Context, issuer IssuerKey, shard int32, notAfter time.Time, yield func(Record) error) error
	// RevocationChanges calls yield, by serial, for each serial of a shard that
	// was revoked, held, released or Abandoned by a change with a number above
	// after, as it is now, like Revoked and whatever its NotAfter. What was
	// released has a Revocation at the time of the release with ReasonRemoveFromCRL.
	RevocationChanges(ctx context.Context, issuer IssuerKey, shard int32, after int64, yield func(Record) error) error
	// Good returns Issued serials of issuer that are not revoked or held, with
	// their certificates, in an order of the ledger's own: those among the next
	// limit (1 to MaxChanges) serials of all issuers, so a page may be empty. after is 0 at first and then the next of the call before;
	// next is after itself once there are no more. What changes between calls
	// comes in its old or its new state, each serial at most once.
	Good(ctx context.Context, issuer IssuerKey, after int64, limit int) (records []Record, next int64, err error)
	// Count returns the number of Issued serials of issuer.
	Count(ctx context.Context, issuer IssuerKey) (int64, error)
}

// CRL is a signed revocation list.
type CRL struct {
	Issuer IssuerKey
	Shard  int32
	Number int64
	// Base makes it a delta: the number of the full list whose changes it shows. 0: a full list.
	Base       int64
	ThisUpdate time.Time
	NextUpdate time.Time
	// Seen is the feed's number up to which every change is shown.
	Seen int64
	// DistributionPoint is the URL in its issuingDistributionPoint, which a full
	// list and its deltas share; empty when it has none.
	DistributionPoint string
	// After is for SaveCRL alone: the number of the newest list of the shard, full
	// or delta, that the maker saw; 0 when there was none.
	After int64
	DER   []byte
}

// IsDelta says whether it is a delta.
func (c CRL) IsDelta() bool { return c.Base > 0 }

// CRLStore keeps the CRLs that were signed.
type CRLStore interface {
	// ReserveCRLNumber returns max(last + 1, now in Unix nanoseconds), never the
	// same twice for an issuer and shard. Fenced.
	ReserveCRLNumber(ctx context.Context, issuer IssuerKey, shard int32, now time.Time) (int64, error)
	// SaveCRL makes a list the newest of its shard. ErrStaleCRL, and nothing is
	// saved, when another one than crl.After is the newest, or crl.Number is not
	// above it: somebody else published meanwhile, maybe from newer facts. The
	// same list again is no error. Fenced.
	SaveCRL(ctx context.Context, crl CRL) error
	// CurrentCRL returns the full list with the highest number, or ErrNotFound.
	CurrentCRL(ctx context.Context, issuer IssuerKey, shard int32) (CRL, error)
	// CurrentDelta returns the delta with the highest number, or ErrNotFound. It
	// says nothing more than a full list with a higher number.
	CurrentDelta(ctx context.Context, issuer IssuerKey, shard int32) (CRL, error)
	// CRLHeads returns the lists of a shard that are kept, newest first, without
	// their DER: at most two full ones and two deltas.
	CRLHeads(ctx context.Context, issuer IssuerKey, shard int32) ([]CRL, error)
}

// Key is the public half of a key that a device of this tier holds.
type Key struct {
	// Owner is "kind/namespace/name" of the object whose key it is.
	Owner      string
	Generation int32
	// Device is "namespace/name" of the CryptoDevice; Label the key's label in it.
	Device, Label string
	// PublicKey is the DER SubjectPublicKeyInfo.
	PublicKey []byte
}

// Accepted is the last spec that a controller accepted, as the services use it
// when the API server is away.
type Accepted struct {
	// Name is "kind/namespace/name".
	Name string
	// Spec is JSON of a type that the kind's service owns.
	Spec []byte
}

// Book keeps keys and accepted specs.
type Book interface {
	// RecordKey keeps a key once ever: the same key again is no error, another
	// one under the owner and generation is ErrKeyMismatch. Fenced.
	RecordKey(ctx context.Context, k Key) error
	// FindKey returns a key, or ErrNotFound.
	FindKey(ctx context.Context, owner string, generation int32) (Key, error)
	// Accept keeps a spec in place of the one before. Fenced.
	Accept(ctx context.Context, a Accepted) error
	// AllAccepted returns every accepted spec whose name begins with prefix, by name.
	AllAccepted(ctx context.Context, prefix string) ([]Accepted, error)
}

// Heads are the highest numbers that a ledger gave; 0: none yet.
type Heads struct {
	// Feed numbers the changes, Audit the leaves.
	Feed, Audit int64
	// Accepted is the change that last told of an accepted spec.
	Accepted int64
	// Restored: the ledger was restored from a backup and is not reconciled yet;
	// see [Recovery].
	Restored bool
}

// Store is everything that one database keeps for the authorities.
type Store interface {
	Ledger
	Revocations
	Acts
	Feed
	CRLStore
	Book
	AuditTrail
	// Heads returns the highest numbers of the ledger; ErrFenced to a process
	// that was fenced off.
	Heads(ctx context.Context) (Heads, error)
	// Renew says that this process is alive, and takes over from processes that
	// have not done so for silence, by the database's clock. leads: of those that share
	// the ledger it was there first, and stays so until it is fenced off. Fenced.
	Renew(ctx context.Context, silence time.Duration) (leads bool, err error)
	// Ping says whether the database answers.
	Ping(ctx context.Context) error
	Close() error
}
