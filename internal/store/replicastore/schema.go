package replicastore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
)

//go:embed schema/*.sql
var schema embed.FS

// schemaVersion is that of the highest file in schema.
const schemaVersion = 4

const (
	// readers is the number of connections that answer beside the one that writes.
	readers = 8
	// cacheKiB of pages for each connection: the upper levels of the tree of
	// ten million serials stay in it.
	cacheKiB = 16 << 10
)

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
		for _, file := range []string{"schema/0001_replica.sql", "schema/0002_refill.sql", "schema/0003_deltas.sql", "schema/0004_audit.sql"}[have:] {
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
