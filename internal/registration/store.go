package registration

import (
	"context"
	"errors"
	"time"
)

// Target is what people decide about: an object and its digest.
type Target struct {
	Kind      string // at most 63 bytes
	Namespace string // at most 63 bytes
	Name      string // at most 253 bytes
	Digest    [32]byte
}

// Opened is a request as the RA first saw it.
type Opened struct {
	Target
	// Applicant is the user who first created it, at most 253 bytes.
	Applicant string
	// IdentitySalt and IdentitySum recognise the identity values, as SumIdentity
	// made them: 16 and 32 bytes, or nil when there were no values.
	IdentitySalt, IdentitySum []byte
	At                        time.Time
}

// Decision about a target.
type Decision string

// Decisions.
const (
	Approve Decision = "Approve"
	Deny    Decision = "Deny"
)

// Approval is one person's decision about one target.
type Approval struct {
	// Namespace and Name of the object by which it was given.
	Namespace, Name string
	Target          Target
	// Approver is the user, at most 253 bytes.
	Approver string
	Decision Decision
	At       time.Time
}

// Errors of a Store.
var (
	// ErrApprovalConflict: the approval's name was used before with other content.
	ErrApprovalConflict = errors.New("this name was used before for another decision; a new decision needs a new name")
	// ErrAlreadyDecided: the person has decided about this target already.
	ErrAlreadyDecided = errors.New("this person has decided about this request already")
	// ErrApproverIsApplicant: nobody approves what they asked for.
	ErrApproverIsApplicant = errors.New("the applicant may not approve")
	// ErrNotOpened: the RA has not seen the request.
	ErrNotOpened = errors.New("the registration authority has not seen this request")
	// ErrTargetConflict: the request's name was used before with other content.
	ErrTargetConflict = errors.New("this name was used before for a request with other content")
)

// Store is the durable record of applications and the decisions about them. A
// write is durable once it returns. All methods may be used concurrently, also
// by several processes on one database.
type Store interface {
	// Open records a request the first time, and returns what was recorded then:
	// the first applicant stays the applicant, the first identity sum the sum.
	// ErrTargetConflict when the name was opened with another digest.
	Open(ctx context.Context, o Opened) (Opened, error)
	// Take takes an approval in, once: the same again returns what was taken,
	// with its first time. It checks, in this order: ErrApprovalConflict,
	// ErrNotOpened, ErrApproverIsApplicant, ErrAlreadyDecided. A request that was
	// opened with another digest counts as not opened.
	Take(ctx context.Context, a Approval) (Approval, error)
	// Approvals returns the decisions about a target, in the order they were taken, at most 64.
	Approvals(ctx context.Context, t Target) ([]Approval, error)
	// Ping says whether the database answers.
	Ping(ctx context.Context) error
	Close() error
}
