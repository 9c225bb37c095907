package audit

import (
	"context"
	"fmt"
	"time"
)

// MaxPage is the largest number of leaves in one answer: some MiB of detail.
const MaxPage = 200

// Query selects leaves; the zero value of a field selects all.
type Query struct {
	// After is the number that the leaves come after; Limit is 1 to MaxPage.
	After int64
	Limit int
	// Since and Until bound the time of recording: Since <= at < Until.
	Since, Until time.Time
	Act          string
	Subject      string
	// Serial selects what was done under a serial number, in capital hexadecimal digits.
	Serial string
}

// Key is one that signed, or signs, checkpoints.
type Key struct {
	// Label names it in the device.
	Label string
	// PublicKey is the DER SubjectPublicKeyInfo.
	PublicKey []byte
}

// Kept is a checkpoint as the ledger keeps it: its text, under the size that it should have.
type Kept struct {
	Size int64
	Text []byte
}

// Finding is something that is not as it was recorded.
type Finding struct {
	// Leaf is the number of the leaf that it is about; 0 when it is about none.
	Leaf int64 `json:"leaf,omitempty"`
	// What names the row or the leaf, Problem says what is wrong with it.
	What    string `json:"what"`
	Problem string `json:"problem"`
}

func (f Finding) String() string { return f.What + ": " + f.Problem }

// About makes a finding about a leaf.
func About(l Leaf, format string, args ...any) Finding {
	return Finding{Leaf: l.Seq, What: l.String(), Problem: fmt.Sprintf(format, args...)}
}

// Ledger is what Verify reads: one state of a ledger, whatever is written meanwhile.
// Its one implementation outside tests is sqlstore.Snapshot.
type Ledger interface {
	// Head is the number of the last leaf, as the ledger counts.
	Head(ctx context.Context) (int64, error)
	// Leaves returns those that a query selects, by number.
	Leaves(ctx context.Context, q Query) ([]Leaf, error)
	// Nodes returns the tree's nodes of a level with numbers in [from, to).
	Nodes(ctx context.Context, level int, from, to int64) (map[int64]Hash, error)
	// Checkpoints returns those kept above a size, by size, limit at most.
	Checkpoints(ctx context.Context, after int64, limit int) ([]Kept, error)
	// Keys returns the audit keys that the ledger knows.
	Keys(ctx context.Context) ([]Key, error)
	// Marks returns those with leaves above after, by number, limit at most.
	Marks(ctx context.Context, after int64, limit int) ([]Mark, error)
	// Checker compares the rows of the ledger with its leaves.
	Checker(people People) Checker
}

// Checker compares rows with what leaves tell of them. A finding is a result; an
// error means that the ledger could not be read.
type Checker interface {
	// Leaves compares what leaves tell of, page by page in their order.
	Leaves(ctx context.Context, leaves []Leaf) ([]Finding, error)
	// Rest finds, after the last leaf, the rows that no leaf told of. progress hears
	// of rows that were looked at.
	Rest(ctx context.Context, progress func(rows int64)) ([]Finding, error)
}
