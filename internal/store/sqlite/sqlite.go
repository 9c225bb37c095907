// Package sqlite keeps the authorities' store, and a registration authority's, in
// one SQLite file each.
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
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

//go:embed schema/*.sql
var schema embed.FS

//go:embed registration/*.sql
var registrationSchema embed.FS

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
	// off. Without it the file must exist, and writes return ErrFenced.
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
	config, err := configure(c.Path, c.TakeOver, schema, "schema")
	if err != nil {
		return nil, fmt.Errorf("sqlite: open ledger: %w", err)
	}
	config.TakeOver, config.Now = c.TakeOver, c.Now
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
	if path == "" {
		return sqlstore.Config{}, errors.New("the path is empty")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return sqlstore.Config{}, err
	}
	if err := prepareFile(path, create); err != nil {
		return sqlstore.Config{}, err
	}
	files, err := fs.Sub(schema, folder)
	if err != nil {
		return sqlstore.Config{}, err
	}
	return sqlstore.Config{
		Dialect: sqlstore.Dialect{
			Name: "sqlite", Blob: "BLOB", QuestionMark: true, Schema: files,
			// Every transaction is IMMEDIATE: what interferes waits before it begins.
			Retryable: func(error) bool { return false },
		},
		Writer: connect(path, url.Values{"_txlock": {"immediate"}}, 1), Reader: connect(path, url.Values{"_query_only": {"1"}}, readers),
	}, nil
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
			return errors.Join(fmt.Errorf("others may read the file: %w", err), f.Close())
		}
	}
	return f.Close()
}

// cacheKiB of pages that the writer, and each reader, keeps at most: the inner
// pages of the indexes of some ten million serials.
const cacheKiB = 64 << 10

func connect(path string, extra url.Values, most int) *sql.DB {
	q := url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_foreign_keys": {"1"},
		"_busy_timeout":    {fmt.Sprint(busyTimeout.Milliseconds())},
		"_stmt_cache_size": {fmt.Sprint(statements)},
		"_cache_size":      {fmt.Sprint(-cacheKiB)},
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
