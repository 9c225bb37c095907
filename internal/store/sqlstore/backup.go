package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"io"

	"github.com/terrace-pki/terrace/internal/backup"
)

// ledgerTables are the tables of the ledger with the order of their rows, each
// after those that it refers to. What is not among them is in no backup.
var ledgerTables = []struct{ name, order string }{
	{"processes", "id"},
	{"issuers", "id"},
	{"scopes", "id"},
	{"serials", "id"},
	{"attempts", "serial_id"},
	{"issued", "serial_id"},
	{"revocations", "serial_id"},
	{"acts", "id"},
	{"crl_numbers", "authority, generation, shard"},
	{"crls", "authority, generation, shard, number"},
	{"device_keys", "owner, generation"},
	{"accepted", "name"},
	{"heads", "one"},
	{"feed", "seq"},
	{"feed_positions", "consumer"},
	{"audit_leaves", "seq"},
	{"audit_nodes", "level, number"},
	{"audit_checkpoints", "size"},
	{"audit_marks", "seq"},
}

var _ backup.Source = (*Store)(nil)

// LedgerTables are the tables of a backup, in its order.
func LedgerTables() []string {
	names := make([]string, len(ledgerTables))
	for i, t := range ledgerTables {
		names[i] = t.name
	}
	return names
}

// Backup writes what one transaction sees; see [backup.Source]. It holds nobody
// up: SQLite's write-ahead log grows meanwhile, and PostgreSQL keeps old rows.
func (s *Store) Backup(ctx context.Context, w io.Writer, progress func(table string, rows int64)) (m backup.Manifest, digest []byte, err error) {
	const operation = "back ledger up"
	tx, err := s.c.Reader.BeginTx(ctx, &sql.TxOptions{Isolation: s.c.Dialect.Snapshot, ReadOnly: true})
	if err != nil {
		return m, nil, s.failed(operation, err)
	}
	defer func() { _ = tx.Rollback() }() // it wrote nothing
	h := backup.Header{Database: s.c.Dialect.Name, At: s.c.Now().UTC()}
	if h.Schema, err = s.schemaVersion(ctx, tx); err != nil {
		return m, nil, s.failed(operation, err)
	}
	var feed, audit int64
	if err := tx.QueryRowContext(ctx, `SELECT feed, audit FROM heads WHERE one = 1`).Scan(&feed, &audit); err != nil {
		return m, nil, s.failed(operation, err)
	}
	out, err := backup.NewWriter(w, h)
	if err != nil {
		return m, nil, s.failed(operation, err)
	}
	out.Progress = progress
	for _, t := range ledgerTables {
		if err := saveTable(ctx, tx, out, t.name, t.order); err != nil {
			return m, nil, s.failed(operation, fmt.Errorf("table %s: %w", t.name, err))
		}
	}
	m, digest, err = out.Close(feed, audit)
	return m, digest, s.failed(operation, err)
}

func saveTable(ctx context.Context, tx *sql.Tx, out *backup.Writer, name, order string) error {
	rows, err := tx.QueryContext(ctx, `SELECT * FROM `+name+` ORDER BY `+order)
	if err != nil {
		return err
	}
	columns, err := rows.Columns()
	if err == nil {
		err = out.Table(backup.Table{Name: name, Columns: columns})
	}
	if err != nil {
		_ = rows.Close() // err says what matters
		return err
	}
	values, fields := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		fields[i] = &values[i]
	}
	return scanEach(rows, func(rows *sql.Rows) error {
		if err := rows.Scan(fields...); err != nil {
			return err
		}
		return out.Row(values)
	})
}
