package sqlite

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/backup"
	"github.com/terrace-pki/terrace/internal/store/sqlitefile"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

func database(t *testing.T, path string) authoritytest.Database {
	return authoritytest.Database{
		Store:  openFor(t, Config{Path: path, TakeOver: true}),
		Shared: func(t *testing.T) authority.Store { return openFor(t, Config{Path: path}) },
		Count:  func(t *testing.T, query string) int64 { return count(t, path, query) },
	}
}

func TestRecovery(t *testing.T) {
	authoritytest.Recovery(t, func(t *testing.T) authoritytest.Restorable {
		dir := t.TempDir()
		return authoritytest.Restorable{Database: database(t, filepath.Join(dir, "ledger.db")), Restore: func(t *testing.T, file io.Reader) authoritytest.Database {
			path := filepath.Join(dir, "restored.db")
			if _, err := Restore(t.Context(), Config{Path: path}, file, nil); err != nil {
				t.Fatal(err)
			}
			return database(t, path)
		}}
	})
}

// A table that is in no backup would be lost with the ledger.
func TestBackupHasEveryTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	openFor(t, Config{Path: path, TakeOver: true})
	db := sqlitefile.Reader(path, cacheKiB, 1)
	defer db.Close()
	rows, err := db.Query(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'schema_version'`)
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
}

func TestRestoreRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ledger.db")
	s := openFor(t, Config{Path: path, TakeOver: true})
	var file bytes.Buffer
	if _, _, err := s.(backup.Source).Backup(t.Context(), &file, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), Config{Path: path}, bytes.NewReader(file.Bytes()), nil); !errors.Is(err, sqlstore.ErrThere) {
		t.Errorf("over a ledger: %v", err)
	}
	half, newer := filepath.Join(dir, "half.db"), bytes.Replace(file.Bytes(), []byte(`"schema":1,`), []byte(`"schema":9,`), 1)
	for name, tc := range map[string]struct {
		in   []byte
		want string
	}{
		"damaged": {file.Bytes()[:file.Len()-9], "damaged"},
		"newer":   {newer, "this release knows"},
		"unknown": {bytes.Replace(file.Bytes(), []byte(`"feed_positions"`), []byte(`"food_positions"`), 1), "unknown to this release"},
	} {
		if _, err := Restore(t.Context(), Config{Path: half}, bytes.NewReader(tc.in), nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the file stays: %v", name, err)
		}
	}
	// A process that dies in the middle leaves a ledger that nobody opens.
	ctx, cancel := context.WithCancel(t.Context())
	config, err := configure(half, true, schema, "schema")
	if err != nil {
		t.Fatal(err)
	}
	_, err = sqlstore.Restore(ctx, config, io.MultiReader(bytes.NewReader(file.Bytes()[:file.Len()/2]), dying(cancel)), nil)
	if err == nil {
		t.Fatal("restored from half a file")
	}
	for _, takeOver := range []bool{true, false} {
		if s, err := Open(t.Context(), Config{Path: half, TakeOver: takeOver}); err == nil || !strings.Contains(err.Error(), "restore into a new one") {
			t.Errorf("half a ledger is opened: %v, %v", s, err)
		}
	}
}

type dying func()

func (d dying) Read([]byte) (int, error) {
	d()
	return 0, io.ErrUnexpectedEOF
}

// A backup is of one moment, whatever is written meanwhile.
func TestBackupWhileItIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := openFor(t, Config{Path: path, TakeOver: true})
	n := 0
	var file bytes.Buffer
	m, _, err := s.(backup.Source).Backup(t.Context(), writerFunc(func(b []byte) (int, error) {
		if n++; n == 1 { // the snapshot was taken
			if err := s.Accept(t.Context(), authority.Accepted{Name: "late", Spec: []byte("{}")}); err != nil {
				t.Error(err)
			}
		}
		return file.Write(b)
	}), nil)
	if err != nil || m.Rows["accepted"] != 0 || m.Rows["feed"] != 0 || m.Feed != 0 {
		t.Errorf("manifest %+v, %v", m, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
