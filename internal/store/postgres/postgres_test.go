package postgres

import (
	"context"
	"database/sql"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/store/postgres/postgrestest"
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

// direct is a connection beside the store.
func direct(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*config)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestStore(t *testing.T) {
	authoritytest.Store(t, func(t *testing.T) authoritytest.Database {
		dsn := postgrestest.Start(t)
		db := direct(t, dsn)
		return authoritytest.Database{
			Store:  openFor(t, Config{DSN: dsn, TakeOver: true}),
			Reopen: func(t *testing.T) authority.Store { return openFor(t, Config{DSN: dsn, TakeOver: true}) },
			Shared: func(t *testing.T) authority.Store { return openFor(t, Config{DSN: dsn}) },
			Beside: func(t *testing.T) authority.Store {
				return openFor(t, Config{DSN: dsn, TakeOver: true, Instance: "other"})
			},
			RefuseLeaves: func(t *testing.T) {
				t.Helper()
				_, err := db.Exec(`CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''disk full''; END';
					CREATE TRIGGER full_disk BEFORE INSERT ON audit_leaves FOR EACH ROW EXECUTE FUNCTION full_disk()`)
				if err != nil {
					t.Fatal(err)
				}
			},
			Count: func(t *testing.T, query string) (n int64) {
				t.Helper()
				if err := db.QueryRow(query).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			},
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	newer, empty := postgrestest.Start(t), postgrestest.Start(t)
	openFor(t, Config{DSN: newer, TakeOver: true})
	if _, err := direct(t, newer).Exec(`INSERT INTO schema_version VALUES (99)`); err != nil {
		t.Fatal(err)
	}
	lax := postgrestest.Start(t)
	if _, err := direct(t, lax).Exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		c    Config
		want string
	}{
		"newer schema":           {Config{DSN: newer, TakeOver: true}, "version 99, this release knows 1"},
		"newer schema, shared":   {Config{DSN: newer}, "version 99, this release knows 1"},
		"without schema, shared": {Config{DSN: empty}, "was it started once?"},
		"commits are not synced": {Config{DSN: lax, TakeOver: true}, "synchronous_commit is off"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), tc.c)
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "postgres: open ledger: ") {
				t.Errorf("error %q, want one about %q", err, tc.want)
			}
		})
	}
}

// No error shows the password, whatever is wrong with the DSN or the server.
func TestErrorsHideThePassword(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for name, dsn := range map[string]string{
		"nothing listens":       "postgres://terrace:s3cret@" + address + "/ledger?sslmode=disable&connect_timeout=2",
		"key-value":             "host=127.0.0.1 port=1 user=terrace password=s3cret dbname=ledger sslmode=disable connect_timeout=2",
		"password not encoded":  "postgres://terrace:s3cret%zz@" + address + "/ledger",
		"port is no number":     "postgres://terrace:s3cret@127.0.0.1:port/ledger",
		"unknown ssl mode":      "postgres://terrace:s3cret@" + address + "/ledger?sslmode=perhaps",
		"space in the password": "host=127.0.0.1 password=a s3cret",
	} {
		t.Run(name, func(t *testing.T) {
			for _, takeOver := range []bool{true, false} {
				s, err := Open(t.Context(), Config{DSN: dsn, TakeOver: takeOver})
				if err == nil {
					_ = s.Close()
					t.Fatal("opened")
				}
				for e := err; e != nil; e = unwrap(e) {
					if strings.Contains(e.Error(), "s3cret") {
						t.Errorf("error shows the password: %q", e)
					}
				}
			}
		})
	}
}

// unwrap takes the first of joined errors, which is the one of the operation.
func unwrap(err error) error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return e.Unwrap()
	case interface{ Unwrap() []error }:
		return e.Unwrap()[0]
	}
	return nil
}

// A store outlives the loss of all its connections.
func TestReconnects(t *testing.T) {
	dsn := postgrestest.Start(t)
	s := openFor(t, Config{DSN: dsn, TakeOver: true})
	if err := s.Accept(t.Context(), authority.Accepted{Name: "X/a/b", Spec: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	var killed int
	err := direct(t, dsn).QueryRow(`SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&killed)
	if err != nil || killed == 0 {
		t.Fatalf("%d connections ended: %v", killed, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for s.Accept(ctx, authority.Accepted{Name: "X/a/b", Spec: []byte("2")}) != nil {
		if ctx.Err() != nil {
			t.Fatal("the store did not connect again")
		}
		time.Sleep(20 * time.Millisecond)
	}
	all, err := s.AllAccepted(ctx, "")
	if err != nil || len(all) != 1 || string(all[0].Spec) != "2" {
		t.Errorf("accepted: %v, %v", all, err)
	}
}

func TestSchemaRefuses(t *testing.T) {
	dsn := postgrestest.Start(t)
	s := openFor(t, Config{DSN: dsn, TakeOver: true})
	k := authority.IssuerKey{Authority: "BusinessCA/a/b", Generation: 1}
	begun, err := s.Begin(t.Context(), k, 1, []authority.Identity{{Kind: "K", Namespace: "n", Name: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	in := authority.Intent{Identity: begun[0].Identity, Serial: begun[0].Serial, Attempt: 1, TBS: []byte{0x30, 0}, NotAfter: time.Now()}
	if err := s.RecordIntent(t.Context(), k, []authority.Intent{in}); err != nil {
		t.Fatal(err)
	}
	db := direct(t, dsn)
	const columns = `serials (serial, issuer, shard, scope, name, digest, attempt, not_after, intended_at, tbs) SELECT `
	for name, statement := range map[string]string{
		"an attempt twice":         `INSERT INTO ` + columns + `'\x01ff'::bytea, issuer, shard, scope, name, digest, attempt, not_after, intended_at, tbs FROM serials`,
		"serial used twice":        `INSERT INTO ` + columns + `serial, issuer, shard, scope, name, digest, 2, not_after, intended_at, tbs FROM serials`,
		"empty TBS":                `UPDATE serials SET tbs = ''::bytea`,
		"issued without signature": `INSERT INTO issued (serial_id, tail, issued_at) VALUES (1, ''::bytea, 1)`,
		"unknown reason":           `INSERT INTO revocations SELECT id, issuer, shard, serial, not_after, 1, 7, 1 FROM serials`,
		"leaf changed":             `UPDATE audit_leaves SET at = 0`,
		"leaf gone":                `DELETE FROM audit_leaves`,
		"leaves gone":              `TRUNCATE audit_leaves`,
		"change about nothing":     `INSERT INTO feed (seq, kind, created_at) VALUES (9, 'Serial', 1)`,
		"change about two things":  `INSERT INTO feed (seq, kind, serial_id, authority, generation, shard, created_at) VALUES (9, 'Serial', 1, 'a', 1, 0, 1)`,
	} {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func openBenchmark(b *testing.B) authority.Store {
	return openFor(b, Config{DSN: postgrestest.Start(b), TakeOver: true})
}

func BenchmarkCycle(b *testing.B)        { authoritytest.BenchmarkCycle(b, openBenchmark) }
func BenchmarkRecordIssued(b *testing.B) { authoritytest.BenchmarkRecordIssued(b, openBenchmark) }
func BenchmarkPerform(b *testing.B)      { authoritytest.BenchmarkPerform(b, openBenchmark) }
func BenchmarkChanges(b *testing.B)      { authoritytest.BenchmarkChanges(b, openBenchmark) }
