package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-pki/terrace/internal/backup"
)

const (
	actRestore = "restore"
	// One transaction of a restore has so many rows or bytes at most, and one
	// statement so many.
	restoreRun, restoreRunBytes   = 50_000, 64 << 20
	restoreRows, restoreRowsBytes = 128, 4 << 20
	// processGap is left between the processes of the backup and later ones: a
	// process of the lost ledger that is still alive must not find its number again.
	processGap = 1_000_000
)

// ErrThere: the database holds a ledger already.
var ErrThere = errors.New("there is a ledger in this database already: name a database that holds none")

// Restore loads a backup, which was read once and found undamaged, into a database
// without a ledger. It is Unreconciled then: see [authority.Recovery]. Die before the end, and nobody can
// open the ledger. c.TakeOver is left out of account. It closes the databases.
func Restore(ctx context.Context, c Config, r io.Reader, progress func(table string, rows int64)) (m backup.Manifest, err error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Store{database: database{c: c, what: "ledger", versions: "schema_version"}}
	defer func() { err = errors.Join(err, s.Close()) }()
	l := &loader{s: s, progress: progress}
	m, digest, err := backup.Read(r, backup.Visitor{
		Header: func(h backup.Header) error { l.header = h; return l.begin(ctx) },
		Table:  func(t backup.Table) error { return errors.Join(l.flush(ctx), l.table(t)) },
		Row:    func(row []any) error { return l.row(ctx, row) },
	})
	if err == nil {
		err = errors.Join(l.flush(ctx), l.commit())
	}
	if err == nil {
		err = l.finish(ctx, digest)
	}
	if err != nil {
		l.abort()
	}
	return m, s.failed("restore ledger", err)
}

// CheckAbsent returns ErrThere when the database holds a ledger. It closes the databases.
func CheckAbsent(ctx context.Context, c Config) error {
	s := &Store{database: database{c: c, what: "ledger", versions: "schema_version"}}
	return s.failed("restore ledger", errors.Join(s.absent(ctx, c.Reader), s.Close()))
}

func (s *Store) absent(ctx context.Context, q querier) error {
	var there bool
	if err := q.QueryRowContext(ctx, s.c.Dialect.HasTable, s.versions).Scan(&there); err != nil {
		return fmt.Errorf("look for a ledger: %w", err)
	}
	if there {
		return ErrThere
	}
	return nil
}

// loader puts rows into tables, many in a statement and many statements in a transaction.
type loader struct {
	s        *Store
	header   backup.Header
	progress func(string, int64)

	current   backup.Table
	insert    string // without its rows
	rows      int64  // of the table
	args      []any  // of rows that are not inserted yet
	argsBytes int

	tx            *sql.Tx
	txRows, txLen int
	// The row of heads is inserted last.
	heads       []any
	headsInsert string
}

// begin makes the tables that the backup's release had.
func (l *loader) begin(ctx context.Context) error {
	all, err := l.s.c.Dialect.migrations()
	if err != nil {
		return err
	}
	if err := refuseNewer(l.header.Schema, int64(len(all))); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	err = l.s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if lock := l.s.c.Dialect.LockMigration; lock != "" {
			if _, err := tx.ExecContext(ctx, lock); err != nil {
				return fmt.Errorf("lock schema: %w", err)
			}
		}
		return l.s.absent(ctx, tx)
	})
	if err != nil {
		return err
	}
	if err := l.s.migrateTo(ctx, l.header.Schema); err != nil {
		return err
	}
	return l.s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE heads SET restore = 'Loading'`)
		return err
	})
}

func (l *loader) table(t backup.Table) error {
	if !slices.Contains(LedgerTables(), t.Name) {
		return fmt.Errorf("table %s of the backup is unknown to this release: use the one that wrote it, or a newer one", t.Name)
	}
	l.current, l.rows = t, 0 // its names are identifiers: see backup.Table
	l.insert = `INSERT INTO ` + t.Name + ` (` + strings.Join(t.Columns, ", ") + `)` + l.s.c.Dialect.Overriding + ` VALUES `
	return nil
}

func (l *loader) row(ctx context.Context, row []any) error {
	l.rows++
	if l.progress != nil && l.rows%10_000 == 0 {
		l.progress(l.current.Name, l.rows)
	}
	for _, v := range row {
		switch v := v.(type) {
		case []byte:
			l.args = append(l.args, append(make([]byte, 0, len(v)), v...)) // not nil, which would be NULL
			l.argsBytes += len(v)
		case string:
			l.args = append(l.args, v)
			l.argsBytes += len(v)
		default:
			l.args = append(l.args, v)
			l.argsBytes += 8
		}
	}
	if l.current.Name == "heads" {
		if l.heads != nil {
			return errors.New("backup: table heads has more than one row")
		}
		l.heads, l.headsInsert = l.args, l.insert+placeholders(1, len(row))
		l.args, l.argsBytes = nil, 0
		return nil
	}
	if len(l.args) >= restoreRows*len(row) || l.argsBytes >= restoreRowsBytes {
		return l.flush(ctx)
	}
	return nil
}

// flush inserts the rows that wait.
func (l *loader) flush(ctx context.Context) (err error) {
	if len(l.args) == 0 {
		return nil
	}
	if l.tx == nil {
		if l.tx, err = l.s.c.Writer.BeginTx(ctx, nil); err != nil {
			return fmt.Errorf("begin transaction: %w", err)
		}
	}
	n := len(l.args) / len(l.current.Columns)
	if _, err := l.tx.ExecContext(ctx, l.insert+placeholders(n, len(l.current.Columns)), l.args...); err != nil {
		return fmt.Errorf("table %s, rows up to %d: %w", l.current.Name, l.rows, err)
	}
	l.txRows, l.txLen = l.txRows+n, l.txLen+l.argsBytes
	l.args, l.argsBytes = l.args[:0], 0
	if l.txRows >= restoreRun || l.txLen >= restoreRunBytes {
		return l.commit()
	}
	return nil
}

func placeholders(rows, columns int) string {
	var w strings.Builder
	for i := range rows * columns {
		switch {
		case i == 0:
			w.WriteString("($")
		case i%columns == 0:
			w.WriteString("), ($")
		default:
			w.WriteString(", $")
		}
		w.WriteString(strconv.Itoa(i + 1))
	}
	w.WriteString(")")
	return w.String()
}

func (l *loader) commit() error {
	if l.tx == nil {
		return nil
	}
	err := l.tx.Commit()
	l.tx, l.txRows, l.txLen = nil, 0, 0
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (l *loader) abort() {
	if l.tx != nil {
		_ = l.tx.Rollback() // what went wrong before says what matters
	}
}

// finish sets the numbers, fences the processes of the backup off without closing
// what they had begun, and lets the ledger be opened, Unreconciled.
func (l *loader) finish(ctx context.Context, digest []byte) error {
	if l.heads == nil {
		return errors.New("backup: table heads has no row")
	}
	s := l.s
	err := s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM heads`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, l.headsInsert, l.heads...); err != nil {
			return fmt.Errorf("table heads: %w", err)
		}
		for _, statement := range []string{
			`UPDATE heads SET restore = 'Loading'`,
			`UPDATE processes SET fenced = 1`,
			`INSERT INTO processes (id, instance, fenced, seen_at)` + s.c.Dialect.Overriding + ` SELECT COALESCE(MAX(id), 0) + ` + strconv.Itoa(processGap) + `, 'restore', 1, ` + s.c.Dialect.Now + ` FROM processes`,
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		for _, table := range []string{"processes", "issuers", "scopes", "serials", "acts"} {
			if s.c.Dialect.NextID == "" {
				break // the database goes on from the highest itself
			}
			if _, err := tx.ExecContext(ctx, fmt.Sprintf(s.c.Dialect.NextID, table)); err != nil {
				return fmt.Errorf("next id of table %s: %w", table, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE heads SET restore = 'Unreconciled'`); err != nil {
			return err
		}
		_, err := s.tell(ctx, tx, s.now(), []leaf{{actRestore, "ledger", detail{
			"backup": hex.EncodeToString(digest), "at": l.header.At.Format(time.RFC3339Nano), "database": l.header.Database}}})
		return err
	})
}
