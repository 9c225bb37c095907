package replicastore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/replica/replicatest"
	"github.com/terrace-pki/terrace/internal/store/sqlitefile"
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

func TestReplicaOfTheFirstSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "replica.db")
	text, err := schema.ReadFile("schema/0001_replica.sql")
	if err != nil {
		t.Fatal(err)
	}
	old := sqlitefile.Writer(path, cacheKiB)
	_, err = old.Exec(string(text) + `; PRAGMA user_version = 1;
		UPDATE node SET position = 3, head = 3, serials = 1, filled = 1, pushed_at = 1000000;
		INSERT INTO issuers (id, authority, generation) VALUES (1, 'BusinessCA/ns/province', 1);
		INSERT INTO statuses (issuer, serial, not_after) VALUES (1, x'01', 99)`)
	if err := errors.Join(err, old.Close()); err != nil {
		t.Fatal(err)
	}
	s := openFor(t, path)
	state, err := s.State(t.Context())
	if err != nil || state.Position != 3 || len(state.Anchor) != 0 || !state.AsOf.Equal(time.Unix(1, 0)) {
		t.Errorf("state %+v, %v, want position 3 without an anchor, as of its last push", state, err)
	}
	if _, err := s.Status(t.Context(), replicatest.CA, "01"); err != nil {
		t.Error(err)
	}
}

func TestDroppingGoesByParts(t *testing.T) {
	before := maxSweep
	t.Cleanup(func() { maxSweep = before })
	maxSweep = 2
	s := openFor(t, filepath.Join(t.TempDir(), "replica.db"))
	p := replica.Push{Next: 5, Head: 5}
	for n := range int64(5) {
		p.Changes = append(p.Changes, replicatest.Good(n+1, replicatest.Serial(n)))
	}
	for i, c := range []struct {
		push    replica.Push
		serials int64
		done    bool
	}{{p, 5, true}, {replica.Push{After: 5, Next: 5, Refill: true}, 5, false}, {replica.Push{Next: 1, Head: 1, Changes: p.Changes[:1]}, 3, false},
		{replica.Push{After: 1, Next: 1, Head: 1}, 1, false}, {replica.Push{After: 1, Next: 1, Head: 1}, 1, true}} {
		state, err := s.Apply(t.Context(), c.push, replicatest.Now)
		if err != nil || state.Serials != c.serials || state.Refilling == c.done {
			t.Errorf("push %d: %+v, %v, want %d serials, done %t", i, state, err, c.serials, c.done)
		}
	}
}
