package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
)

type migration struct {
	version int64
	text    string
}

// migrations returns those of the dialect in order, numbered from 1 without a gap.
func (d Dialect) migrations() ([]migration, error) {
	names, err := fs.Glob(d.Schema, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	slices.Sort(names)
	all := make([]migration, len(names))
	for i, name := range names {
		if len(name) < 5 || name[4] != '_' {
			return nil, fmt.Errorf("migration %s: want a name as 0001_ledger.sql", name)
		}
		if n, err := strconv.Atoi(name[:4]); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s: want number %04d", name, i+1)
		}
		text, err := fs.ReadFile(d.Schema, name)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		all[i] = migration{int64(i + 1), string(text)}
	}
	return all, nil
}

// migrate applies what is missing, all in one transaction: die in it, and the
// schema is the one before.
func (d *database) migrate(ctx context.Context) error {
	all, err := d.c.Dialect.migrations()
	if err != nil {
		return err
	}
	return d.apply(ctx, all)
}

// migrateTo makes the schema of an earlier version.
func (d *database) migrateTo(ctx context.Context, version int64) error {
	all, err := d.c.Dialect.migrations()
	if err != nil {
		return err
	}
	return d.apply(ctx, all[:version])
}

func (d *database) apply(ctx context.Context, all []migration) error {
	return d.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if lock := d.c.Dialect.LockMigration; lock != "" {
			if _, err := tx.ExecContext(ctx, lock); err != nil {
				return fmt.Errorf("lock schema: %w", err)
			}
		}
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS `+d.versions+` (version BIGINT PRIMARY KEY)`); err != nil {
			return fmt.Errorf("create "+d.versions+": %w", err)
		}
		have, err := d.schemaVersion(ctx, tx)
		if err != nil {
			return err
		}
		if err := refuseNewer(have, int64(len(all))); err != nil {
			return err
		}
		for _, m := range all[have:] {
			if _, err := tx.ExecContext(ctx, m.text); err != nil {
				return fmt.Errorf("apply migration %d: %w", m.version, err)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO `+d.versions+` (version) VALUES ($1)`, m.version); err != nil {
				return fmt.Errorf("record migration %d: %w", m.version, err)
			}
		}
		return nil
	})
}

// requireSchema changes nothing: the process that issues migrates.
func (d *database) requireSchema(ctx context.Context) error {
	all, err := d.c.Dialect.migrations()
	if err != nil {
		return err
	}
	have, err := d.schemaVersion(ctx, d.c.Reader)
	if err != nil {
		return fmt.Errorf("%w (the process that issues makes the ledger; was it started once?)", err)
	}
	if err := refuseNewer(have, int64(len(all))); err != nil {
		return err
	}
	if have < int64(len(all)) {
		return fmt.Errorf("schema has version %d, want %d: start the process that issues with this release first", have, len(all))
	}
	return nil
}

func refuseNewer(have, known int64) error {
	if have > known {
		return fmt.Errorf("schema has version %d, this release knows %d: run the release that made it, or a newer one", have, known)
	}
	return nil
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (d *database) schemaVersion(ctx context.Context, q querier) (int64, error) {
	var have int64
	if err := q.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM `+d.versions).Scan(&have); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return have, nil
}
