package authority

import (
	"context"
	"time"
)

// Archivable is a certificate that expired, with its row in the ledger.
type Archivable struct {
	Row int64
	Record
}

// Archiver lets a ledger drop the content of certificates that expired long
// ago. Serials, identities, revocations and counts stay: no serial or name is used again, and
// every question about a serial is answered as before, but for its content.
type Archiver interface {
	// Expired returns Issued certificates with content and a NotAfter before
	// before, from the next limit (1 to MaxChanges) rows after a row, so a page may be empty. after
	// is 0 at first and then the next of the call before; next is after itself once there are no more.
	Expired(ctx context.Context, before time.Time, after int64, limit int) (page []Archivable, next int64, err error)
	// DropContent drops the content of rows that Expired returned, 1 to MaxChanges
	// of them, and returns how many had any. Fenced.
	DropContent(ctx context.Context, before time.Time, rows []int64) (int64, error)
	// NoteArchive writes the audit leaf about an archive, before content is
	// dropped. Fenced.
	NoteArchive(ctx context.Context, note map[string]string) error
}
