package postgres

import (
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/store/postgres/postgrestest"
)

// The texts are those of sqlstore. At ten million certificates these must read a
// range of an index, also while the statistics are those of a smaller table.
func TestPlansReadIndices(t *testing.T) {
	dsn := postgrestest.Start(t)
	openFor(t, Config{DSN: dsn, TakeOver: true})
	db := direct(t, dsn)
	run := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(from, to string) {
		t.Helper()
		run(`INSERT INTO identities (kind, namespace, name, digest) SELECT 'K', 'n', n::text, decode(repeat('00', 32), 'hex') FROM generate_series(` + from + `, ` + to + `) n`)
		run(`INSERT INTO serials (serial, identity, authority, generation, shard, state, epoch, certificate, not_after, reserved_at, intended_at, issued_at)
			SELECT 'S' || name, id, 'BusinessCA/a/b', 1, 0, 'Issued', 1, decode(repeat('ab', 800), 'hex'), 1, 1, 1, 1 FROM identities WHERE id BETWEEN ` + from + ` AND ` + to)
		run(`INSERT INTO feed (kind, seq, serial, created_at) SELECT 'Serial', id, serial, 1 FROM serials WHERE id BETWEEN ` + from + ` AND ` + to)
	}
	queries := map[string]string{
		"Changes":  `SELECT seq, kind, serial, name, authority, generation, shard FROM feed WHERE seq > 500 ORDER BY seq LIMIT 1000`,
		"Sequence": `SELECT id FROM feed WHERE seq IS NULL ORDER BY id LIMIT 1000`,
		"idle":     `SELECT epoch, (SELECT id FROM feed WHERE seq IS NULL ORDER BY id LIMIT 1) IS NOT NULL FROM ledger_epoch WHERE one = 1`,
		"records": `SELECT i.name, s.certificate FROM (VALUES ` + strings.Repeat(`(CAST('S1' AS TEXT)), `, 255) + `(CAST('S2' AS TEXT))) AS v
			JOIN serials s ON s.serial = v.column1 JOIN identities i ON i.id = s.identity`,
		"Unsequenced": `SELECT COUNT(*) FROM (SELECT id FROM feed WHERE seq IS NULL ORDER BY id LIMIT 1000000) AS waiting`,
		"FindAct":     `SELECT digest FROM acts WHERE kind = 'a' AND namespace = 'b' AND name = 'c'`,
	}
	check := func(when string) {
		for name, query := range queries {
			rows, err := db.Query(`EXPLAIN ` + query)
			if err != nil {
				t.Fatal(err)
			}
			var plan strings.Builder
			for rows.Next() {
				var line string
				if err := rows.Scan(&line); err != nil {
					t.Fatal(err)
				}
				plan.WriteString(line + "\n")
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
			for _, bad := range []string{"Seq Scan on feed", "Seq Scan on serials", "Seq Scan on identities", "using feed_pkey"} {
				if strings.Contains(plan.String(), bad) {
					t.Errorf("%s %s: %s:\n%s", name, when, bad, plan.String())
				}
			}
		}
	}
	fill("1", "40000")
	check("without statistics")
	run(`ANALYZE`)
	check("with statistics")
	run(`INSERT INTO feed (kind, serial, created_at) SELECT 'Serial', serial, 1 FROM serials`)
	run(`ANALYZE`)
	check("with a backlog")
	run(`UPDATE feed SET seq = 40000 + id WHERE seq IS NULL`)
	check("after the backlog, with its statistics")
}
