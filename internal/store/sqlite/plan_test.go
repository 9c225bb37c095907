package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/sqlitefile"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

// The texts are those of sqlstore. At ten million certificates these must read a range of an index, or one row:
// no plan has a step that scans a table.
func TestPlansReadIndices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	openFor(t, Config{Path: path, TakeOver: true})
	db := sqlitefile.Writer(path, cacheKiB)
	defer db.Close()
	for name, tc := range map[string]struct{ query, want string }{
		"Changes": {`SELECT seq, kind, serial_id, name, authority, generation, shard FROM feed WHERE seq > 5 ORDER BY seq LIMIT 1000`, "USING INTEGER PRIMARY KEY (rowid>?)"},
		"Heads":   {`SELECT feed, audit, accepted FROM heads WHERE one = 1`, "USING INTEGER PRIMARY KEY"},
		"Count":   {`SELECT issued FROM issuers WHERE authority = 'a' AND generation = 1`, "(authority=? AND generation=?)"},
		"Revoked": {`SELECT r.serial, r.not_after, r.revoked_at, r.reason FROM revocations r JOIN issuers a ON a.id = r.issuer
			WHERE a.authority = 'a' AND a.generation = 1 AND r.shard = 3 AND r.not_after >= 1 AND r.reason <> 8 ORDER BY r.serial`, "INDEX revocations_list (issuer=? AND shard=?)"},
		"RevocationChanges": {`SELECT r.serial, r.not_after, r.revoked_at, r.reason FROM revocations r JOIN issuers a ON a.id = r.issuer
			WHERE a.authority = 'a' AND a.generation = 1 AND r.shard = 3 AND r.seq > 7`, "INDEX revocations_changed (issuer=? AND shard=? AND seq>?)"},
		"Good": {`SELECT s.id FROM (SELECT * FROM serials WHERE id > 7 ORDER BY id LIMIT 1000) AS s JOIN issuers a ON a.id = s.issuer
			LEFT JOIN issued t ON t.serial_id = s.id ORDER BY s.id`, "SEARCH serials USING INTEGER PRIMARY KEY (rowid>?)"},
		"FindAct": {`SELECT digest FROM acts WHERE kind = 'a' AND namespace = 'b' AND name = 'c'`, "(kind=? AND namespace=? AND name=?)"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := db.Query(`EXPLAIN QUERY PLAN ` + tc.query)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var plan []string
			for rows.Next() {
				var id, parent, unused int
				var step string
				if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
					t.Fatal(err)
				}
				plan = append(plan, step)
				if strings.HasPrefix(step, "SCAN feed") || strings.HasPrefix(step, "SCAN r ") {
					t.Errorf("step %q", step)
				}
			}
			if text := strings.Join(plan, "; "); !strings.Contains(text, tc.want) {
				t.Errorf("plan %q, want %q in it", text, tc.want)
			}
		})
	}
}

// A slice of any size looks its rows up, one by one: SQLite must not find that
// reading the whole table is cheaper.
func TestSlicesReadIndices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	openFor(t, Config{Path: path, TakeOver: true})
	db := sqlitefile.Writer(path, cacheKiB)
	defer db.Close()
	for _, size := range []int{1, 2, 32, 128, authority.MaxSlice} {
		for name, text := range sqlstore.BulkTexts(sqlstore.Dialect{Name: "sqlite", Blob: "BLOB", QuestionMark: true}, size) {
			rows, err := db.Query(`EXPLAIN QUERY PLAN `+text.SQL, make([]any, text.Parameters)...)
			if err != nil {
				t.Fatalf("%s of %d: %v", name, size, err)
			}
			for rows.Next() {
				var id, parent, unused int
				var step string
				if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(step, "SCAN serials") || strings.HasPrefix(step, "SCAN i ") || strings.HasPrefix(step, "SCAN s ") || strings.Contains(step, "AUTOMATIC") {
					t.Errorf("%s of %d rows: step %q", name, size, step)
				}
			}
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
