package sqlite

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		}
	})
}

func TestLedgerOfVersion1(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	migration, err := schema.ReadFile("schema/0001_ledger.sql")
	if err != nil {
		t.Fatal(err)
	}
	db := sqlitefile.Writer(path, cacheKiB)
	defer db.Close()
	authoritytest.Version1(t, string(migration), func(t *testing.T, statement string, args ...any) {
		t.Helper()
		if _, err := db.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T) authoritytest.Database {
		return authoritytest.Database{Store: openFor(t, Config{Path: path, TakeOver: true}), Count: func(t *testing.T, query string) int64 { return count(t, path, query) }}
	})
	for _, statement := range []string{`DELETE FROM audit_leaves`, `UPDATE audit_leaves SET at = 0`} {
		if err := execute(t, path, statement); err == nil {
			t.Errorf("after the migration: %s: taken", statement)
		}
	}
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
		"newer schema":            {Config{Path: newer, TakeOver: true}, "version 99, this release knows 2"},
		"newer schema, shared":    {Config{Path: newer}, "version 99, this release knows 2"},
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
	if _, err := s.Begin(t.Context(), k, 1, []authority.Identity{{Kind: "K", Namespace: "n", Name: "x"}}); err != nil {
		t.Fatal(err)
	}
	for name, statement := range map[string]string{
		"issued without certificate": `UPDATE serials SET state = 'Issued'`,
		"intended without TBS":       `UPDATE serials SET state = 'Intended', not_after = 1, intended_at = 1`,
		"revoked while reserved":     `UPDATE serials SET revoked_at = 1, reason = 1`,
		"unknown state":              `UPDATE serials SET state = 'Other'`,
		"two live serials":           `INSERT INTO serials (serial, identity, authority, generation, shard, state, epoch, reserved_at) SELECT '01FF', identity, authority, generation, shard, state, epoch, reserved_at FROM serials`,
		"serial used twice":          `INSERT INTO serials (serial, identity, authority, generation, shard, state, epoch, reserved_at) SELECT serial, identity, 'BusinessCA/a/c', generation, shard, state, epoch, reserved_at FROM serials`,
		"identity gone":              `DELETE FROM identities`,
		"leaf changed":               `UPDATE audit_leaves SET at = 0`,
		"leaf gone":                  `DELETE FROM audit_leaves`,
		"change about nothing":       `INSERT INTO feed (kind, created_at) VALUES ('Serial', 1)`,
		"change about two things":    `INSERT INTO feed (kind, serial, authority, generation, shard, created_at) SELECT 'Serial', serial, authority, 1, 0, 1 FROM serials`,
	} {
		if err := execute(t, path, statement); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// repeating gives the same bytes n times before it is random.
type repeating struct {
	n    int
	tail io.Reader
}

func (r *repeating) Read(p []byte) (int, error) {
	if r.n == 0 {
		return r.tail.Read(p)
	}
	r.n--
	return copy(p, bytes.Repeat([]byte{7}, len(p))), nil
}

func TestSerialDrawnTwice(t *testing.T) {
	k := authority.IssuerKey{Authority: "BusinessCA/a/b", Generation: 1}
	for name, tc := range map[string]struct {
		repeats int
		wantErr bool
	}{"drawn again": {4, false}, "broken random source": {1000, true}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			openFor(t, Config{Path: path, TakeOver: true})
			s, err := sqlstore.Open(t.Context(), sqlstore.Config{
				Dialect: sqlstore.Dialect{Name: "sqlite", Blob: "BLOB", QuestionMark: true, Schema: os.DirFS("schema"),
					Retryable: func(error) bool { return false }},
				Writer: sqlitefile.Writer(path, cacheKiB), Reader: sqlitefile.Reader(path, cacheKiB, 1),
				TakeOver: true, Random: &repeating{tc.repeats, rand.Reader},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Begin(t.Context(), k, 1, []authority.Identity{{Kind: "K", Name: "first"}}); err != nil {
				t.Fatal(err)
			}
			_, err = s.Begin(t.Context(), k, 1, []authority.Identity{{Kind: "K", Name: "second"}})
			if (err != nil) != tc.wantErr {
				t.Errorf("begin: %v", err)
			}
		})
	}
}

func openBenchmark(b *testing.B) authority.Store {
	return openFor(b, Config{Path: filepath.Join(b.TempDir(), "ledger.db"), TakeOver: true})
}

func BenchmarkCycle(b *testing.B)        { authoritytest.BenchmarkCycle(b, openBenchmark) }
func BenchmarkRecordIssued(b *testing.B) { authoritytest.BenchmarkRecordIssued(b, openBenchmark) }
func BenchmarkPerform(b *testing.B)      { authoritytest.BenchmarkPerform(b, openBenchmark) }
func BenchmarkChanges(b *testing.B)      { authoritytest.BenchmarkChanges(b, openBenchmark) }
func BenchmarkSequence(b *testing.B)     { authoritytest.BenchmarkSequence(b, openBenchmark) }
