package replicastore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/replica/replicatest"
)

func openFor(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a second Close is harmless
	return s
}

func TestStore(t *testing.T) {
	replicatest.Store(t, func(t *testing.T) replicatest.Database {
		path := filepath.Join(t.TempDir(), "data", "replica.db")
		s := openFor(t, path)
		return replicatest.Database{Store: s, Reopen: func(t *testing.T) replica.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openFor(t, path)
		}}
	})
}

func TestFileIsItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.db")
	openFor(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.db")
	s := openFor(t, path)
	if _, err := s.writer.Exec(fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion+1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "run the release") {
		t.Errorf("got %v, want a refusal that names the cure", err)
	}
}

func TestSettingsOfTheFile(t *testing.T) {
	s := openFor(t, filepath.Join(t.TempDir(), "replica.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		if err := s.writer.QueryRow(`PRAGMA ` + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", pragma, got, err, want)
		}
	}
}

func TestStatusIsOneDescent(t *testing.T) {
	s := openFor(t, filepath.Join(t.TempDir(), "replica.db"))
	rows, err := s.reader.Query(`EXPLAIN QUERY PLAN `+statusQuery, "BusinessCA/ns/a", 1, []byte{1})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(detail, "SEARCH ") {
			t.Errorf("the look-up of a serial does %q, want a search", detail)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
