// Package sqlite keeps the authorities' store in one SQLite file.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

//go:embed schema/*.sql
var schema embed.FS

const (
	// busyTimeout is how long a write waits for another process.
	busyTimeout = 10 * time.Second
	// readers is the number of connections that read beside the one that writes.
	readers = 4
	// statements is how many prepared statements a connection keeps.
	statements = 256
)

// Config of a store.
type Config struct {
	// Path of the database file. It is made with mode 0600, a missing directory
	// with mode 0700. It must be on a local file system: SQLite's locks and
	// write-ahead log need one.
	Path string
	// TakeOver begins a new epoch: this process issues, earlier ones are fenced
	// off. Without it the file must exist, and fenced methods return ErrFenced.
	TakeOver bool
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Open opens the store. A write is in the file, and the file on the disk
// (synchronous=FULL), once it returns.
func Open(ctx context.Context, c Config) (authority.Store, error) {
	s, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, c Config) (*sqlstore.Store, error) {
	if c.Path == "" {
		return nil, errors.New("sqlite: open ledger: the path is empty")
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open ledger: %w", err)
	}
	if err := prepareFile(path, c.TakeOver); err != nil {
		return nil, fmt.Errorf("sqlite: open ledger: %w", err)
	}
	files, err := fs.Sub(schema, "schema")
	if err != nil {
		return nil, fmt.Errorf("sqlite: open ledger: %w", err)
	}
	writer := connect(path, url.Values{"_txlock": {"immediate"}}, 1)
	reader := connect(path, url.Values{"_query_only": {"1"}}, readers)
	return sqlstore.Open(ctx, sqlstore.Config{
		Dialect: sqlstore.Dialect{
			Name: "sqlite", Blob: "BLOB", QuestionMark: true, Schema: files,
			// Every transaction is IMMEDIATE: what interferes waits before it begins.
			Retryable: func(error) bool { return false },
		},
		Writer: writer, Reader: reader, TakeOver: c.TakeOver, Now: c.Now,
	})
}

// prepareFile makes the file before SQLite does, because of its mode; SQLite
// gives the log beside it the same.
func prepareFile(path string, create bool) error {
	flags := os.O_RDWR
	if create {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (the process that issues makes the ledger; was it started once?)", err)
	}
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return errors.Join(fmt.Errorf("others may read the ledger: %w", err), f.Close())
		}
	}
	return f.Close()
}

func connect(path string, extra url.Values, most int) *sql.DB {
	q := url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_foreign_keys": {"1"},
		"_busy_timeout":    {fmt.Sprint(busyTimeout.Milliseconds())},
		"_stmt_cache_size": {fmt.Sprint(statements)},
	}
	for k, v := range extra {
		q[k] = v
	}
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
	db := sql.OpenDB(connector{dsn})
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db
}
