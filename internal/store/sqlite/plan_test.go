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
		"Changes": {`SELECT seq, kind, serial, name, authority, generation, shard FROM feed WHERE seq > 5 ORDER BY seq LIMIT 1000`, "USING INDEX feed_seq (seq>?)"},
		"Sequence": {`UPDATE feed SET seq = 7 + p.n FROM
			(SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS n FROM (SELECT id FROM feed WHERE seq IS NULL ORDER BY id LIMIT 1000) AS pending) AS p
			WHERE feed.id = p.id`, "SEARCH feed USING INTEGER PRIMARY KEY"},
		"idle":        {`SELECT epoch, (SELECT id FROM feed WHERE seq IS NULL ORDER BY id LIMIT 1) IS NOT NULL FROM ledger_epoch WHERE one = 1`, "INDEX feed_pending"},
		"Unsequenced": {`SELECT COUNT(*) FROM (SELECT id FROM feed WHERE seq IS NULL ORDER BY id LIMIT 1000000) AS waiting`, "INDEX feed_pending"},
		"Head":        {`SELECT last FROM feed_head WHERE one = 1`, "USING INTEGER PRIMARY KEY"},
		"Count":       {`SELECT SUM(issued) FROM issued_counts WHERE authority = 'a' AND generation = 1`, "USING PRIMARY KEY (authority=? AND generation=?)"},
		"FindAct":     {`SELECT digest FROM acts WHERE kind = 'a' AND namespace = 'b' AND name = 'c'`, "(kind=? AND namespace=? AND name=?)"},
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
				if strings.HasPrefix(step, "SCAN feed") && !strings.Contains(step, "feed_pending") || strings.Contains(step, "TEMP B-TREE") {
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
