package replicastore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-sqlite3"
)

//go:embed schema/*.sql
var schema embed.FS

// schemaVersion is that of the highest file in schema.
const schemaVersion = 2

const (
	// busyTimeout is how long a write waits for another process, such as a backup.
	busyTimeout = 10 * time.Second
	// readers is the number of connections that answer beside the one that writes.
	readers = 8
	// cacheKiB of pages for each connection: the upper levels of the tree of
	// ten million serials stay in it.
	cacheKiB = 16 << 10
	// walPages of 4 KiB before the log is written back. New serials fall on pages
	// all over the tree; a longer log writes each page once for many pushes.
	walPages = 16 << 10
)

type connector struct{ dsn string }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := (&sqlite3.SQLiteDriver{}).Open(c.dsn)
	if err != nil {
		return nil, err
	}
	if _, err := conn.(driver.ExecerContext).ExecContext(ctx, fmt.Sprintf(`PRAGMA wal_autocheckpoint = %d`, walPages), nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (c connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

func connect(path string, extra url.Values, most int) *sql.DB {
	q := url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_foreign_keys": {"1"},
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())}, "_cache_size": {fmt.Sprint(-cacheKiB)},
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

// prepareFile makes the file that only its owner may read, or refuses.
func prepareFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// migrate brings the schema to schemaVersion in one transaction: die in it, and
// the schema is the one before.
func migrate(ctx context.Context, db *sql.DB) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		var have int
		if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&have); err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		if have > schemaVersion {
			return fmt.Errorf("schema has version %d, this release knows %d: run the release that made it, or remove the file; it is filled anew by pushes", have, schemaVersion)
		}
		if have == schemaVersion {
			return nil
		}
		for _, file := range []string{"schema/0001_replica.sql", "schema/0002_refill.sql"}[have:] {
			text, err := schema.ReadFile(file)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, string(text)); err != nil {
				return fmt.Errorf("apply %s: %w", file, err)
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion))
		return err
	})
}

func inTx(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := do(tx); err != nil {
		if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
			err = errors.Join(err, rollback)
		}
		return err
	}
	return tx.Commit()
}
