package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/postgres/postgrestest"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
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
		run(`INSERT INTO serials (serial, issuer, shard, scope, name, digest, attempt, not_after, intended_at, tbs)
			SELECT int8send(n), 1, n % 4, 1, n::text, decode(repeat('00', 32), 'hex'), 1, 1, 1, decode(repeat('ab', 600), 'hex') FROM generate_series(` + from + `, ` + to + `) n`)
		run(`INSERT INTO issued (serial_id, tail, issued_at) SELECT id, decode(repeat('ab', 80), 'hex'), 1 FROM serials WHERE id BETWEEN ` + from + ` AND ` + to)
		run(`INSERT INTO feed (seq, kind, serial_id, created_at) SELECT id, 'Serial', id, 1 FROM serials WHERE id BETWEEN ` + from + ` AND ` + to)
		run(`INSERT INTO revocations SELECT id, issuer, shard, serial, 1, 1, 4, id FROM serials WHERE id % 10 = 0 AND id BETWEEN ` + from + ` AND ` + to)
	}
	run(`INSERT INTO issuers (authority, generation, issued) VALUES ('BusinessCA/a/b', 1, 0)`)
	run(`INSERT INTO scopes (kind, namespace) VALUES ('K', 'n')`)
	queries := map[string]string{
		"Changes": `SELECT seq, kind, serial_id, name, authority, generation, shard FROM feed WHERE seq > 500 ORDER BY seq LIMIT 1000`,
		"RevocationChanges": `SELECT r.serial FROM revocations r JOIN issuers a ON a.id = r.issuer
			WHERE a.authority = 'BusinessCA/a/b' AND a.generation = 1 AND r.shard = 3 AND r.seq > 39900`,
		"FindAct": `SELECT digest FROM acts WHERE kind = 'a' AND namespace = 'b' AND name = 'c'`,
	}
	for _, size := range []int{1, 16, authority.MaxSlice} {
		for name, args := range map[string]string{"lookup": `array_fill(1::bigint, ARRAY[%d]), array_fill(1::bigint, ARRAY[%[1]d]), array_fill('7'::text, ARRAY[%[1]d])`,
			"recordsBySerial": `array_fill(7::bigint, ARRAY[%d])`} {
			text := sqlstore.BulkTexts(sqlstore.Dialect{Name: "postgres", Blob: "BYTEA", Unnest: true}, size)[name].SQL
			from, to := strings.Index(text, "unnest(")+len("unnest("), strings.Index(text, ") AS u(")
			queries[fmt.Sprint(name, size)] = text[:from] + fmt.Sprintf(args, size) + text[to:]
		}
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
			for _, bad := range []string{"Seq Scan on feed", "Seq Scan on serials", "Seq Scan on revocations", "Seq Scan on issued"} {
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
}
