// Package postgres keeps the authorities' store, and a registration authority's,
// in PostgreSQL, 15 or newer, in a database each.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

//go:embed schema/*.sql
var schema embed.FS

//go:embed registration/*.sql
var registrationSchema embed.FS

const (
	// connections bounds the pool of one process.
	connections = 16
	// migrationLock is the key of the advisory lock that migrations hold.
	migrationLock = 0x7465727261636501
	// SQLSTATEs after which a transaction may be tried again.
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
)

// Config of a store.
type Config struct {
	// DSN is a PostgreSQL URL or key-value string. It may hold a password and
	// stands in no error.
	DSN string
	// TakeOver lets this process issue. Earlier ones of its instance are fenced off.
	// Without it writes return ErrFenced.
	TakeOver bool
	// Instance tells the processes apart that issue from one database at the same
	// time; default "ca". See [sqlstore.Config].
	Instance string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Open opens the store. A write is on the server's disk once it returns: a
// server or role with fsync or synchronous_commit off is refused. Connections
// that break are replaced at the next call.
func Open(ctx context.Context, c Config) (authority.Store, error) {
	s, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// OpenAudit opens the store for those who audit, beside the processes that issue:
// nothing is taken over.
func OpenAudit(ctx context.Context, dsn string) (*sqlstore.Store, error) {
	return open(ctx, Config{DSN: dsn})
}

func open(ctx context.Context, c Config) (*sqlstore.Store, error) {
	config, err := configure(c.DSN, schema, "schema")
	if err != nil {
		return nil, fmt.Errorf("postgres: open ledger: %w", err)
	}
	config.TakeOver, config.Instance, config.Now = c.TakeOver, c.Instance, c.Now
	return sqlstore.Open(ctx, config)
}

// OpenRegistration opens an RA's store. Its database is its own; several
// processes may open it.
func OpenRegistration(ctx context.Context, dsn string) (registration.Store, error) {
	config, err := configure(dsn, registrationSchema, "registration")
	if err != nil {
		return nil, fmt.Errorf("postgres: open registration store: %w", err)
	}
	r, err := sqlstore.OpenRegistration(ctx, config)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// configure makes the pool for a store whose migrations are in a folder of
// schema. It does not connect yet.
func configure(dsn string, schema fs.FS, folder string) (sqlstore.Config, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The parser's error quotes the DSN, so it is not wrapped.
		return sqlstore.Config{}, errors.New("the DSN cannot be parsed (it is not shown, as it may hold a password): want postgres://user:password@host:port/database, with a password percent-encoded")
	}
	if _, set := config.RuntimeParams["idle_in_transaction_session_timeout"]; !set {
		// A process that hangs must not keep the next one from taking over.
		config.RuntimeParams["idle_in_transaction_session_timeout"] = "30s"
	}
	config.RuntimeParams["application_name"] = "terrace"
	files, err := fs.Sub(schema, folder)
	if err != nil {
		return sqlstore.Config{}, err
	}
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(requireDurable))
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return sqlstore.Config{
		Dialect: sqlstore.Dialect{
			Name: "postgres", Blob: "BYTEA", Schema: files, ForShare: " FOR KEY SHARE", ForUpdate: " FOR UPDATE", Isolation: sql.LevelReadCommitted,
			Unnest: true, Now: `CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`,
			Durability: `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'wal_sync_method', 'full_page_writes') ORDER BY name`,
			Snapshot:   sql.LevelRepeatableRead, HasTable: `SELECT to_regclass($1) IS NOT NULL`,
			Overriding: ` OVERRIDING SYSTEM VALUE`, NextID: `SELECT setval(pg_get_serial_sequence('%[1]s', 'id'), GREATEST((SELECT MAX(id) FROM %[1]s), 1))`,
			LockMigration: fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", int64(migrationLock)),
			Retryable:     retryable, Redact: redact,
		},
		Writer: db, Reader: db,
	}, nil
}

// requireDurable refuses a connection whose commits a crash could undo.
func requireDurable(ctx context.Context, conn *pgx.Conn) error {
	for _, name := range []string{"fsync", "synchronous_commit"} {
		var value *string // nil: the database has no such setting, and always syncs
		if err := conn.QueryRow(ctx, "SELECT current_setting($1, true)", name).Scan(&value); err != nil {
			return fmt.Errorf("read setting %s: %w", name, err)
		}
		if value != nil && *value == "off" {
			return fmt.Errorf("setting %s is off, so a crash could undo what was recorded: set it to on for this database", name)
		}
	}
	return nil
}

func retryable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == serializationFailure || pg.Code == deadlockDetected)
}

// redact cuts a connection error loose from its configuration, which holds the
// password; the text names user, database and host.
func redact(err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return redacted{err.Error(), connect.Unwrap()}
	}
	return err
}

type redacted struct {
	text  string
	cause error
}

func (e redacted) Error() string { return e.text }

// Unwrap leads past the configuration, to the cause on the network or server.
func (e redacted) Unwrap() error { return e.cause }
