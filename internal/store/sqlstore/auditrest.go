package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"sort"
	"strconv"
	"time"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	// restPage is how many rows one look at all serials reads.
	restPage = 2000
	// maxNamed bounds how many serials are named for one cause, to within a page.
	maxNamed = 1000
)

// Rest implements [audit.Checker]. As each leaf's rows were found, rows that no
// leaf tells of are those that are too many.
func (c *checker) Rest(ctx context.Context, progress func(rows int64)) ([]audit.Finding, error) {
	var all []audit.Finding
	for _, look := range []func(context.Context) ([]audit.Finding, error){
		func(ctx context.Context) ([]audit.Finding, error) { return c.serials(ctx, progress) },
		c.specs, c.lists, c.counts, c.removed,
	} {
		found, err := look(ctx)
		if err != nil {
			return nil, c.n.s.failed("find rows that no audit leaf tells of", err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// serialRow is a serial with what became of it.
type serialRow struct {
	id                 int64
	serial             []byte
	issued             bool
	reason, revokedAt  sql.NullInt64
	same               sql.NullBool // the revocation says of the serial what its row says
	verb               authority.Verb
	actReason, actedAt int64
}

func (c *checker) page(ctx context.Context, after int64) ([]serialRow, error) {
	rows, err := c.n.tx.QueryContext(ctx, `SELECT s.id, s.serial, t.serial_id IS NOT NULL, r.reason, r.revoked_at,
		r.issuer = s.issuer AND r.shard = s.shard AND r.serial = s.serial AND r.not_after = s.not_after
		FROM serials s LEFT JOIN issued t ON t.serial_id = s.id LEFT JOIN revocations r ON r.serial_id = s.id
		WHERE s.id > $1 ORDER BY s.id LIMIT `+strconv.Itoa(restPage), after)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (r serialRow, err error) {
		return r, rows.Scan(&r.id, &r.serial, &r.issued, &r.reason, &r.revokedAt, &r.same)
	})
}

// lastActs finds the last act that was done to each serial.
var lastActs = bulk{
	before:  `SELECT v.column1, a.verb, a.reason, a.at FROM (`,
	after:   `) AS v JOIN acts a ON a.id = (SELECT MAX(n.id) FROM acts n WHERE n.serial = v.column2 AND n.refusal = '')`,
	columns: []string{"BIGINT", "BYTES"},
}

// serials goes through all of them.
func (c *checker) serials(ctx context.Context, progress func(rows int64)) ([]audit.Finding, error) {
	var found []audit.Finding
	var intended, issued tally
	var after, rows, revoked, abandoned int64
	for {
		page, err := c.page(ctx, after)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		var listed []*serialRow
		for i := range page {
			r := &page[i]
			serial := string(serialOf(r.serial))
			after = r.id
			intended.add(serial)
			if r.issued {
				issued.add(serial)
			}
			if r.reason.Valid {
				listed = append(listed, r)
				revoked++
				if !r.issued {
					abandoned++
				}
			}
		}
		problems, err := c.revocations(ctx, listed)
		if err != nil {
			return nil, err
		}
		if len(found) < maxNamed { // a ledger of which nothing is right must not fill the memory
			found = append(found, problems...)
		}
		rows += int64(len(page))
		progress(rows)
	}
	for _, t := range []struct {
		leaves, rows *tally
		acts         []string
		what         string
	}{{&c.intended, &intended, []string{actIntent, actImport}, "is in the ledger"}, {&c.issued, &issued, []string{actIssue, actImportIssue}, "counts as issued"}} {
		extra, err := c.extra(ctx, t.leaves, t.rows, t.acts, t.what)
		if err != nil {
			return nil, err
		}
		found = append(found, extra...)
	}
	for _, n := range []struct {
		what, query string
		want        int64
	}{{"rows of issued", `SELECT COUNT(*) FROM issued`, issued.total}, {"rows of revocations", `SELECT COUNT(*) FROM revocations`, revoked},
		{"numbers of issued certificates of all issuers", `SELECT CAST(COALESCE(SUM(issued), 0) AS BIGINT) FROM issuers`, issued.total}} {
		if err := c.compare(ctx, &found, n.what, n.query, n.want, "as the rows of serials say"); err != nil {
			return nil, err
		}
	}
	if abandoned != c.abandoned {
		found = append(found, audit.Finding{What: "abandoned serials", Problem: fmt.Sprintf("are %d, and leaves tell of %d", abandoned, c.abandoned)})
	}
	return found, nil
}

// revocations compares rows that have one with the last act that was done to them.
func (c *checker) revocations(ctx context.Context, listed []*serialRow) ([]audit.Finding, error) {
	err := c.n.s.query(ctx, c.n.tx, &lastActs, len(listed), func(args []any, i int) []any { return append(args, int64(i), listed[i].serial) }, func(rows *sql.Rows) error {
		var i int64
		var verb authority.Verb
		var reason, at int64
		if err := rows.Scan(&i, &verb, &reason, &at); err != nil {
			return err
		}
		listed[i].verb, listed[i].actReason, listed[i].actedAt = verb, reason, at
		return nil
	})
	var found []audit.Finding
	for _, r := range listed {
		problem := ""
		imported, isImported := c.imported[serialSubject(string(serialOf(r.serial)))]
		switch {
		case !r.same.Bool:
			problem = "the row of its revocation was changed: it names another issuer, shard, serial or notAfter"
		case isImported && imported != (left{pki.Reason(r.reason.Int64).String(), r.revokedAt.Int64}):
			problem = fmt.Sprintf("the row of its revocation was changed: it has reason %s at %s, and the last leaf of it left %s at %s", pki.Reason(r.reason.Int64),
				fromMicros(r.revokedAt).Format(time.RFC3339Nano), imported.reason, time.UnixMicro(imported.at).UTC().Format(time.RFC3339Nano))
		case isImported:
		case r.issued && r.verb == "":
			problem = "it is revoked or on hold, and no act did that"
		case r.issued && (pki.Reason(r.reason.Int64) != leftBy(r) || r.revokedAt.Int64 != r.actedAt):
			problem = fmt.Sprintf("the row of its revocation was changed: it has reason %s at %s, and the last act left %s at %s", pki.Reason(r.reason.Int64),
				fromMicros(r.revokedAt).Format(time.RFC3339Nano), leftBy(r), time.UnixMicro(r.actedAt).UTC().Format(time.RFC3339Nano))
		case !r.issued && pki.Reason(r.reason.Int64) != pki.ReasonCessationOfOperation:
			problem = "it was abandoned, and the row of its revocation was changed"
		}
		if problem != "" {
			found = append(found, audit.Finding{What: "serial " + string(serialOf(r.serial)), Problem: problem})
		}
	}
	return found, err
}

// leftBy is the reason that the last act left.
func leftBy(r *serialRow) pki.Reason {
	return listed(authority.Act{Verb: r.verb, Reason: pki.Reason(r.actReason)})
}

// specs compares accepted specs with the last leaf of each, and verifies what officers signed.
func (c *checker) specs(ctx context.Context) ([]audit.Finding, error) {
	rows, err := c.n.tx.QueryContext(ctx, `SELECT name, spec FROM accepted ORDER BY name`)
	if err != nil {
		return nil, err
	}
	var found []audit.Finding
	err = scanEach(rows, func(rows *sql.Rows) error {
		var a authority.Accepted
		if err := rows.Scan(&a.Name, &a.Spec); err != nil {
			return err
		}
		digest, told := c.accepted[a.Name]
		switch {
		case !told:
			found = append(found, audit.Finding{What: "accepted spec " + a.Name, Problem: "no leaf tells of it"})
			return nil
		case digest != fingerprint(a.Spec):
			found = append(found, audit.Finding{What: "accepted spec " + a.Name, Problem: "was changed: its last leaf tells of another one"})
		}
		delete(c.accepted, a.Name)
		if err := authority.CheckDecision(a, c.people); err != nil {
			found = append(found, audit.Finding{What: "decision " + a.Name, Problem: err.Error()})
		}
		return nil
	})
	gone := make([]string, 0, len(c.accepted))
	for name := range c.accepted {
		gone = append(gone, name)
	}
	sort.Strings(gone)
	for _, name := range gone {
		found = append(found, audit.Finding{What: "accepted spec " + name, Problem: "was deleted"})
	}
	return found, err
}

// lists compares CRLs with their leaves.
func (c *checker) lists(ctx context.Context) ([]audit.Finding, error) {
	var found []audit.Finding
	rows, err := c.n.tx.QueryContext(ctx, `SELECT authority, generation, shard, number, base, der FROM crls ORDER BY authority, generation, shard, number`)
	if err != nil {
		return nil, err
	}
	err = scanEach(rows, func(rows *sql.Rows) error {
		var l authority.CRL
		if err := rows.Scan(&l.Issuer.Authority, &l.Issuer.Generation, &l.Shard, &l.Number, &l.Base, &l.DER); err != nil {
			return err
		}
		shard := crlSubject(l.Issuer, l.Shard)
		if digest := c.crls[listsOf(shard, l.IsDelta())][strconv.FormatInt(l.Number, 10)]; digest != fingerprint(l.DER) {
			found = append(found, audit.Finding{What: fmt.Sprintf("%s number %d", shard, l.Number), Problem: "was changed or added: no leaf tells of this list"})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err = c.n.tx.QueryContext(ctx, `SELECT authority, generation, shard, last FROM crl_numbers ORDER BY authority, generation, shard`)
	if err != nil {
		return nil, err
	}
	err = scanEach(rows, func(rows *sql.Rows) error {
		var k authority.IssuerKey
		var shard int32
		var last int64
		if err := rows.Scan(&k.Authority, &k.Generation, &shard, &last); err != nil {
			return err
		}
		if told := c.numbers[crlSubject(k, shard)]; told != last {
			found = append(found, audit.Finding{What: crlSubject(k, shard), Problem: fmt.Sprintf("its last number is %d, and the last leaf tells of %d", last, told)})
		}
		return nil
	})
	return found, err
}

// counts compares the numbers of rows with those of leaves.
func (c *checker) counts(ctx context.Context) (found []audit.Finding, err error) {
	for _, n := range []struct {
		what, query string
		want        int64
	}{{"acts", `SELECT COUNT(*) FROM acts`, c.acts}, {"keys", `SELECT COUNT(*) FROM device_keys`, c.keys}, {"marks", `SELECT COUNT(*) FROM audit_marks`, c.marks}} {
		if err := c.compare(ctx, &found, n.what, n.query, n.want, "as leaves tell"); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (c *checker) compare(ctx context.Context, found *[]audit.Finding, what, query string, want int64, as string) error {
	var n int64
	if err := c.n.tx.QueryRowContext(ctx, query).Scan(&n); err != nil {
		return err
	}
	if n != want {
		*found = append(*found, audit.Finding{What: what, Problem: fmt.Sprintf("are %d, want %d %s", n, want, as)})
	}
	return nil
}
