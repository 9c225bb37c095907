// Package sqlite keeps the authorities' store, and a registration authority's, in
// one SQLite file each.
package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlitefile"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

//go:embed schema/*.sql
var schema embed.FS

//go:embed registration/*.sql
var registrationSchema embed.FS

const (
	// readers is the number of connections that read beside the one that writes.
	readers = 4
	// cacheKiB of pages that each connection keeps at most: the inner pages of the
	// indexes of some ten million serials.
	cacheKiB = 64 << 10
)

// Config of a store.
type Config struct {
	// Path of the database file. It is made with mode 0600, a missing directory
	// with mode 0700. It must be on a local file system: SQLite's locks and
	// write-ahead log need one.
	Path string
	// TakeOver fences every earlier process off: this one issues. Without it the
	// file must exist, and writes return ErrFenced.
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

// OpenAudit opens the store for those who audit, beside the process that issues:
// nothing is taken over.
func OpenAudit(ctx context.Context, path string) (*sqlstore.Store, error) {
	return open(ctx, Config{Path: path})
}

func open(ctx context.Context, c Config) (*sqlstore.Store, error) {
	config, err := configure(c.Path, c.TakeOver, schema, "schema")
	if err != nil {
		return nil, fmt.Errorf("sqlite: open ledger: %w", err)
	}
	config.TakeOver, config.Exclusive, config.Now = c.TakeOver, true, c.Now
	return sqlstore.Open(ctx, config)
}

// OpenRegistration opens an RA's store in the file path, which is made as a
// ledger's is. Several processes on one machine may open it.
func OpenRegistration(ctx context.Context, path string) (registration.Store, error) {
	config, err := configure(path, true, registrationSchema, "registration")
	if err != nil {
		return nil, fmt.Errorf("sqlite: open registration store: %w", err)
	}
	r, err := sqlstore.OpenRegistration(ctx, config)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// configure opens the file for a store whose migrations are in a folder of schema.
func configure(path string, create bool, schema fs.FS, folder string) (sqlstore.Config, error) {
	path, err := sqlitefile.Prepare(path, create)
	if errors.Is(err, fs.ErrNotExist) && !create {
		err = fmt.Errorf("%w (the process that issues makes the ledger; was it started once?)", err)
	}
	if err != nil {
		return sqlstore.Config{}, err
	}
	files, err := fs.Sub(schema, folder)
	if err != nil {
		return sqlstore.Config{}, err
	}
	return sqlstore.Config{
		Dialect: sqlstore.Dialect{
			Name: "sqlite", Blob: "BLOB", QuestionMark: true, Schema: files,
			Durability: `SELECT 'journal_mode', journal_mode FROM pragma_journal_mode UNION ALL
				SELECT 'synchronous', CASE synchronous WHEN 2 THEN 'FULL' ELSE synchronous END FROM pragma_synchronous`,
			Now:      `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`,
			HasTable: `SELECT COUNT(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = $1`,
			// What interferes waits before a transaction begins.
			Retryable: func(error) bool { return false },
		},
		Writer: sqlitefile.Writer(path, cacheKiB), Reader: sqlitefile.Reader(path, cacheKiB, readers),
	}, nil
}
