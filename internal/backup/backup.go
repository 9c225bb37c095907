// Package backup is the file format of a ledger's backup: the rows of its tables
// in a form of our own, so that what was saved from one database can be restored into another sort.
//
// A file is the line "terrace ledger backup 1", frames, and the SM3 of all
// before it (32 octets). A frame is its kind in one octet, its length in four,
// big-endian, and its content:
//
//	H  Header, JSON, once and first
//	T  Table, JSON; the rows up to the next are its
//	R  a row: for each column N (null), I and eight octets (integer), or T or B,
//	   four octets of length and the text or the bytes
//	M  Manifest, JSON, once and last
//
// The digest finds damage. It does not prove who wrote the file: keep it where
// only operators write.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
)

const (
	magic = "terrace ledger backup 1\n"
	// maxFrame bounds a row in bytes: the longest revocation list, and some.
	maxFrame = 80 << 20
	// maxJSON bounds the other frames.
	maxJSON    = 1 << 20
	maxColumns = 64
	maxTables  = 256
)

// Kinds of frames.
const (
	kindHeader   = 'H'
	kindTable    = 'T'
	kindRow      = 'R'
	kindManifest = 'M'
)

// ErrDamaged: the file is not as it was written.
var ErrDamaged = errors.New("backup is damaged")

// Header says what was saved.
type Header struct {
	// Schema is the version of the ledger's schema.
	Schema int64 `json:"schema"`
	// Database is the sort that it was read from: "sqlite", "postgres".
	Database string `json:"database"`
	// At is when the snapshot was taken.
	At time.Time `json:"at"`
}

// Table is a table whose rows follow.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// Manifest says what the file holds.
type Manifest struct {
	// Rows of each table.
	Rows map[string]int64 `json:"rows"`
	// Feed and Audit are the highest numbers of the snapshot.
	Feed  int64 `json:"feed"`
	Audit int64 `json:"audit"`
}

// Total is the number of rows.
func (m Manifest) Total() (n int64) {
	for _, rows := range m.Rows {
		n += rows
	}
	return n
}

// identifier is what may stand in SQL as it is.
var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

func (t Table) check() error {
	if !identifier.MatchString(t.Name) {
		return fmt.Errorf("table %.64q: not a name", t.Name)
	}
	if len(t.Columns) < 1 || len(t.Columns) > maxColumns {
		return fmt.Errorf("table %s: %d columns: want 1 to %d", t.Name, len(t.Columns), maxColumns)
	}
	seen := map[string]bool{}
	for _, c := range t.Columns {
		if !identifier.MatchString(c) || seen[c] {
			return fmt.Errorf("table %s: column %.64q: not a name, or twice", t.Name, c)
		}
		seen[c] = true
	}
	return nil
}

// Source is a ledger that can be saved.
type Source interface {
	// Backup writes one consistent snapshot, while the ledger is in use, and tells
	// progress, which may be nil, how many rows of a table are written.
	Backup(ctx context.Context, w io.Writer, progress func(table string, rows int64)) (Manifest, []byte, error)
}
