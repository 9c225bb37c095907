package authority

import (
	"context"
	"errors"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Verb is what an Act does to a certificate.
type Verb string

// Verbs of acts (LD/T 02.1: 撤销, 冻结, 解冻).
const (
	// VerbRevoke is for ever. It may follow a hold.
	VerbRevoke Verb = "Revoke"
	// VerbHold revokes with reason certificateHold until a Release.
	VerbHold Verb = "Hold"
	// VerbRelease ends a hold.
	VerbRelease Verb = "Release"
)

// Refusal says why an act did not fit the state of the certificate.
type Refusal string

// Refusals.
const (
	// RefusedNotIssued: nothing valid stands under the serial: it was abandoned.
	RefusedNotIssued Refusal = "NotIssued"
	// RefusedRevoked: the certificate was revoked before.
	RefusedRevoked Refusal = "AlreadyRevoked"
	// RefusedHeld: a Hold of what is on hold already.
	RefusedHeld Refusal = "AlreadyOnHold"
	// RefusedNotHeld: a Release of what is not on hold.
	RefusedNotHeld Refusal = "NotOnHold"
)

// Act asks for one change of a certificate's revocation, once ever.
type Act struct {
	// Identity of the object that asks; its digest covers what is asked.
	Identity Identity
	Issuer   IssuerKey
	Serial   pki.Serial
	Verb     Verb
	// Reason of a Revoke; ignored otherwise.
	Reason pki.Reason
	// At is the time that CRL and OCSP show.
	At time.Time
	// Operator is the person who asks, for the audit; at most 253 bytes, empty when
	// nobody said. It is no part of what makes two acts the same.
	Operator string
}

// Performed is an act as the ledger recorded it.
type Performed struct {
	Act
	// Refusal is empty when the act was done. A refused act is recorded as well:
	// it must not be done later, when the certificate's state may have changed.
	Refusal Refusal
	// RecordedAt is when the ledger wrote it.
	RecordedAt time.Time
	// Adopted: the act had been recorded before this call.
	Adopted bool
}

// ErrActConflict: the name was used before for another act.
var ErrActConflict = errors.New("this name was used before for another act; a new act needs a new name")

// Acts is the durable record of revocations, holds and releases.
type Acts interface {
	// Perform carries an act out and records it, in one transaction with its
	// audit leaf and feed entry, once ever: the same identity again returns what
	// was recorded, and another digest under its name is ErrActConflict.
	// ErrNotFound, and nothing is recorded, when the issuer has no such serial, or
	// has it Reserved or Intended only. Fenced.
	Perform(ctx context.Context, act Act) (Performed, error)
	// FindAct returns the act of kind, namespace and name, or ErrNotFound.
	FindAct(ctx context.Context, kind, namespace, name string) (Performed, error)
}
