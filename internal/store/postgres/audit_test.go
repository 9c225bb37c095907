package postgres

import (
	"io"
	"testing"

	"github.com/terrace-pki/terrace/internal/store/postgres/postgrestest"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
	"github.com/terrace-pki/terrace/internal/store/storetest"
)

func TestAudit(t *testing.T) {
	storetest.Audit(t, func(t *testing.T) storetest.Database { return audited(t, postgrestest.Start(t)) })
}

func TestAuditOfRestored(t *testing.T) {
	storetest.Restored(t, func(t *testing.T) storetest.Database { return audited(t, postgrestest.Start(t)) }, func(t *testing.T, file io.Reader) storetest.Database {
		t.Helper()
		dsn := postgrestest.Start(t)
		if _, err := Restore(t.Context(), Config{DSN: dsn}, file, nil); err != nil {
			t.Fatal(err)
		}
		return audited(t, dsn)
	})
}

func audited(t *testing.T, dsn string) storetest.Database {
	t.Helper()
	store, err := open(t.Context(), Config{DSN: dsn, TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	db := direct(t, dsn)
	exec := func(t *testing.T, statement string, args ...any) int64 {
		t.Helper()
		r, err := db.Exec(statement, args...)
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		n, err := r.RowsAffected()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return storetest.Database{Store: store, Exec: exec,
		Shared: func(t *testing.T) *sqlstore.Store {
			s, err := OpenAudit(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
		Unprotect: func(t *testing.T) {
			exec(t, `DROP TRIGGER audit_leaves_append_only ON audit_leaves`)
			exec(t, `DROP TRIGGER audit_marks_append_only ON audit_marks`)
		}}
}
