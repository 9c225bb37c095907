package postgres

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/backup"
	"github.com/terrace-pki/terrace/internal/store/postgres/postgrestest"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

func database(t *testing.T, dsn string) authoritytest.Database {
	db := direct(t, dsn)
	return authoritytest.Database{
		Store:  openFor(t, Config{DSN: dsn, TakeOver: true}),
		Shared: func(t *testing.T) authority.Store { return openFor(t, Config{DSN: dsn}) },
		Count: func(t *testing.T, query string) (n int64) {
			t.Helper()
			if err := db.QueryRow(query).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		},
	}
}

func restore(t *testing.T, file io.Reader) authoritytest.Database {
	t.Helper()
	dsn := postgrestest.Start(t)
	if _, err := Restore(t.Context(), Config{DSN: dsn}, file, nil); err != nil {
		t.Fatal(err)
	}
	return database(t, dsn)
}

func TestRecovery(t *testing.T) {
	authoritytest.Recovery(t, func(t *testing.T) authoritytest.Restorable {
		return authoritytest.Restorable{Database: database(t, postgrestest.Start(t)), Restore: restore}
	})
}

// What was saved from SQLite can go on in PostgreSQL.
func TestRestoreFromSQLite(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	authoritytest.BackupHoldsAll(t, authoritytest.Restorable{Database: authoritytest.Database{Store: s}, Restore: restore})
}

// A table that is in no backup would be lost with the ledger.
func TestBackupHasEveryTable(t *testing.T) {
	dsn := postgrestest.Start(t)
	s := openFor(t, Config{DSN: dsn, TakeOver: true})
	rows, err := direct(t, dsn).Query(`SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_name <> 'schema_version'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(sqlstore.LedgerTables(), name) {
			t.Errorf("table %s is in no backup: add it to ledgerTables", name)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, _, err := s.(backup.Source).Backup(t.Context(), &file, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), Config{DSN: dsn}, &file, nil); !errors.Is(err, sqlstore.ErrThere) {
		t.Errorf("over a ledger: %v", err)
	}
	if err := CheckAbsent(t.Context(), dsn); !errors.Is(err, sqlstore.ErrThere) {
		t.Errorf("a ledger is not seen: %v", err)
	}
}
