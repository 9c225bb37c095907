package postgres

import (
	"context"
	"fmt"
	"io"

	"github.com/terrace-pki/terrace/internal/backup"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

// CheckAbsent returns an error when the database of dsn holds a ledger.
func CheckAbsent(ctx context.Context, dsn string) error {
	config, err := configure(dsn, schema, "schema")
	if err != nil {
		return fmt.Errorf("postgres: restore ledger: %w", err)
	}
	return sqlstore.CheckAbsent(ctx, config)
}

// Restore fills a database without a ledger from a backup that was read once and
// found undamaged; see [sqlstore.Restore]. After an error the database is to be dropped.
func Restore(ctx context.Context, c Config, r io.Reader, progress func(table string, rows int64)) (backup.Manifest, error) {
	config, err := configure(c.DSN, schema, "schema")
	if err != nil {
		return backup.Manifest{}, fmt.Errorf("postgres: restore ledger: %w", err)
	}
	config.Now = c.Now
	return sqlstore.Restore(ctx, config, r, progress)
}
