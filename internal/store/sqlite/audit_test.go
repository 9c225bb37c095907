package sqlite

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/terrace-pki/terrace/internal/store/sqlitefile"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
	"github.com/terrace-pki/terrace/internal/store/storetest"
)

func TestAudit(t *testing.T) {
	storetest.Audit(t, func(t *testing.T) storetest.Database { return audited(t, filepath.Join(t.TempDir(), "ledger.db")) })
}

func TestAuditOfRestored(t *testing.T) {
	storetest.Restored(t, func(t *testing.T) storetest.Database { return audited(t, filepath.Join(t.TempDir(), "ledger.db")) }, func(t *testing.T, file io.Reader) storetest.Database {
		t.Helper()
		path := filepath.Join(t.TempDir(), "ledger.db")
		if _, err := Restore(t.Context(), Config{Path: path}, file, nil); err != nil {
			t.Fatal(err)
		}
		return audited(t, path)
	})
}

func audited(t *testing.T, path string) storetest.Database {
	t.Helper()
	store, err := open(t.Context(), Config{Path: path, TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	db := sqlitefile.Writer(path, cacheKiB)
	t.Cleanup(func() { _ = db.Close() })
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
			s, err := OpenAudit(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
		Unprotect: func(t *testing.T) {
			for _, trigger := range []string{"audit_leaves_update", "audit_leaves_delete", "audit_marks_update", "audit_marks_delete"} {
				exec(t, `DROP TRIGGER `+trigger)
			}
		}}
}
