package sqlite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/store/sqlitefile"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

func openFor(t testing.TB, c Config) authority.Store {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	authoritytest.Store(t, func(t *testing.T) authoritytest.Database {
		path := filepath.Join(t.TempDir(), "ledger.db")
		return authoritytest.Database{
			Store:  openFor(t, Config{Path: path, TakeOver: true}),
			Reopen: func(t *testing.T) authority.Store { return openFor(t, Config{Path: path, TakeOver: true}) },
			Shared: func(t *testing.T) authority.Store { return openFor(t, Config{Path: path}) },
			Count:  func(t *testing.T, query string) int64 { return count(t, path, query) },
			RefuseLeaves: func(t *testing.T) {
				if err := execute(t, path, `CREATE TRIGGER full BEFORE INSERT ON audit_leaves BEGIN SELECT RAISE(ABORT, 'disk full'); END`); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// count asks the file itself, beside the store.
func count(t *testing.T, path, query string) (n int64) {
	t.Helper()
	db := sqlitefile.Writer(path, cacheKiB)
	defer db.Close()
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func execute(t *testing.T, path, statement string) error {
	t.Helper()
	db := sqlitefile.Writer(path, cacheKiB)
	defer db.Close()
	_, err := db.Exec(statement)
	return err
}

func TestFileModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b #1?.d")
	path := filepath.Join(dir, "ledger.db")
	s := openFor(t, Config{Path: path, TakeOver: true})
	if err := s.Accept(t.Context(), authority.Accepted{Name: "X/a/b", Spec: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{dir: 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	for pragma, want := range map[string]int64{"synchronous": 2, "foreign_keys": 1} {
		if n := count(t, path, "PRAGMA "+pragma); n != want {
			t.Errorf("%s is %d, want %d", pragma, n, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	newer := filepath.Join(dir, "newer.db")
	openFor(t, Config{Path: newer, TakeOver: true})
	if err := execute(t, newer, `INSERT INTO schema_version VALUES (99)`); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 300)), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		c    Config
		want string
	}{
		"newer schema":            {Config{Path: newer, TakeOver: true}, "version 99, this release knows 1"},
		"newer schema, shared":    {Config{Path: newer}, "version 99, this release knows 1"},
		"missing file, shared":    {Config{Path: filepath.Join(dir, "missing.db")}, "was it started once?"},
		"without schema, shared":  {Config{Path: empty}, "was it started once?"},
		"not a database":          {Config{Path: garbage, TakeOver: true}, "not a database"},
		"no path":                 {Config{TakeOver: true}, "path is empty"},
		"a file as the directory": {Config{Path: filepath.Join(garbage, "x.db"), TakeOver: true}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), tc.c)
			if err == nil {
				t.Fatal(errors.Join(errors.New("opened"), s.Close()))
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "sqlite: open ledger: ") {
				t.Errorf("error %q, want one about %q", err, tc.want)
			}
		})
	}
}

// The database refuses what the code must never do.
func TestSchemaRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	s := openFor(t, Config{Path: path, TakeOver: true})
	k := authority.IssuerKey{Authority: "BusinessCA/a/b", Generation: 1}
	begun, err := s.Begin(t.Context(), k, 1, []authority.Identity{{Kind: "K", Namespace: "n", Name: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	in := authority.Intent{Identity: begun[0].Identity, Serial: begun[0].Serial, Attempt: 1, TBS: []byte{0x30, 0}, NotAfter: time.Now()}
	if err := s.RecordIntent(t.Context(), k, []authority.Intent{in}); err != nil {
		t.Fatal(err)
	}
	const columns = `serials (serial, issuer, shard, scope, name, digest, attempt, not_after, intended_at, tbs) SELECT `
	for name, statement := range map[string]string{
		"an attempt twice":         `INSERT INTO ` + columns + `x'01FF', issuer, shard, scope, name, digest, attempt, not_after, intended_at, tbs FROM serials`,
		"serial used twice":        `INSERT INTO ` + columns + `serial, issuer, shard, scope, name, digest, 2, not_after, intended_at, tbs FROM serials`,
		"empty TBS":                `UPDATE serials SET tbs = x''`,
		"issued without signature": `INSERT INTO issued (serial_id, tail, issued_at) VALUES (1, x'', 1)`,
		"issued twice":             `INSERT INTO issued (serial_id, tail, issued_at) VALUES (1, x'01', 1), (1, x'01', 1)`,
		"unknown reason":           `INSERT INTO revocations SELECT id, issuer, shard, serial, not_after, 1, 7, 1 FROM serials`,
		"leaf changed":             `UPDATE audit_leaves SET at = 0`,
		"leaf gone":                `DELETE FROM audit_leaves`,
		"change about nothing":     `INSERT INTO feed (seq, kind, created_at) VALUES (9, 'Serial', 1)`,
		"change about two things":  `INSERT INTO feed (seq, kind, serial_id, authority, generation, shard, created_at) VALUES (9, 'Serial', 1, 'a', 1, 0, 1)`,
	} {
		if err := execute(t, path, statement); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A random source that repeats itself gives a serial that was used: nothing is signed under it.
func TestSerialDrawnTwice(t *testing.T) {
	k := authority.IssuerKey{Authority: "BusinessCA/a/b", Generation: 1}
	path := filepath.Join(t.TempDir(), "ledger.db")
	config, err := configure(path, true, schema, "schema")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	config.TakeOver, config.Now, config.Random = true, func() time.Time { return now }, always(7)
	s, err := sqlstore.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	record := func(name string) error {
		begun, err := s.Begin(t.Context(), k, 1, []authority.Identity{{Kind: "K", Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		return s.RecordIntent(t.Context(), k, []authority.Intent{{Identity: begun[0].Identity, Serial: begun[0].Serial, Attempt: 1, TBS: []byte{0x30, 0}, NotAfter: now}})
	}
	if err := record("first"); err != nil {
		t.Fatal(err)
	}
	if err := record("second"); !errors.Is(err, authority.ErrElsewhere) {
		t.Errorf("second intent under one serial: %v", err)
	}
	now = now.Add(time.Minute) // the serial has another time
	if err := record("second"); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// always is a random source that is broken.
type always byte

func (a always) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte{byte(a)}, len(p))), nil
}

func openBenchmark(b *testing.B) authority.Store {
	return openFor(b, Config{Path: filepath.Join(b.TempDir(), "ledger.db"), TakeOver: true})
}

func BenchmarkCycle(b *testing.B)        { authoritytest.BenchmarkCycle(b, openBenchmark) }
func BenchmarkRecordIssued(b *testing.B) { authoritytest.BenchmarkRecordIssued(b, openBenchmark) }
func BenchmarkPerform(b *testing.B)      { authoritytest.BenchmarkPerform(b, openBenchmark) }
func BenchmarkChanges(b *testing.B)      { authoritytest.BenchmarkChanges(b, openBenchmark) }
