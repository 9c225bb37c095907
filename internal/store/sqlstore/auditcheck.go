package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// checker compares the rows of a ledger with its leaves. It remembers the last
// leaf of each accepted spec and list, and counts of everything else, so that its memory does not
// grow with the certificates.
type checker struct {
	n      *Snapshot
	people audit.People

	intended, issued tally
	abandoned        int64
	acts, keys       int64
	marks            int64
	accepted         map[string]string            // digest of the last spec, by name
	crls             map[string]map[string]string // digests of lists by number, by shard and kind
	numbers          map[string]int64             // the last number that was reserved, by shard
	// imported is what the leaves left of serials that a reconciliation revoked or
	// performed acts on: no more than were lost with a ledger.
	imported map[string]left
	archived archived
}

// Leaves implements [audit.Checker].
func (c *checker) Leaves(ctx context.Context, leaves []audit.Leaf) ([]audit.Finding, error) {
	var found []audit.Finding
	for _, l := range leaves {
		d, err := l.Parse()
		if err != nil {
			found = append(found, audit.About(l, "%v", err))
			continue
		}
		problem, err := c.leaf(ctx, l, d)
		if err != nil {
			return nil, c.n.s.failed("compare rows with audit leaves", fmt.Errorf("%s: %w", l, err))
		}
		found = append(found, problem...)
	}
	return found, nil
}

func (c *checker) leaf(ctx context.Context, l audit.Leaf, d audit.Detail) ([]audit.Finding, error) {
	switch l.Act {
	case actIntent, actIssue, actImport, actImportIssue:
		return c.slice(ctx, l, d)
	case actAbandon:
		c.abandoned++
		return c.isAbandoned(ctx, l)
	case actImportRevocation:
		return c.importedRevocation(ctx, l, d)
	case actRevoke, actHold, actRelease, actRefused, actImportAct:
		c.acts++
		return c.act(ctx, l, d)
	case actKey:
		c.keys++
		return c.key(ctx, l, d)
	case actMark:
		c.marks++
		return c.mark(ctx, l)
	case actAccept:
		c.accepted[strings.TrimPrefix(l.Subject, acceptedSubject(""))] = d["spec"]
	case actCRLNumber:
		n, err := strconv.ParseInt(d["number"], 10, 64)
		if err != nil || n <= c.numbers[l.Subject] {
			return []audit.Finding{audit.About(l, "CRL number %q is not above the one before, %d", d["number"], c.numbers[l.Subject])}, nil
		}
		c.numbers[l.Subject] = n
	case actCRL:
		c.list(l.Subject, d)
		if n, err := strconv.ParseInt(d["number"], 10, 64); err == nil {
			c.numbers[l.Subject] = max(c.numbers[l.Subject], n)
		}
	case actArchive:
		return c.archive(l, d), nil
	case actTakeover, actRestore, actReconcile:
	default:
		return []audit.Finding{audit.About(l, "this release knows no such act")}, nil
	}
	return nil, nil
}

// list remembers the digests of a shard's last lists: no more are kept.
func (c *checker) list(shard string, d audit.Detail) {
	shard = listsOf(shard, d["base"] != "")
	lists := c.crls[shard]
	if lists == nil {
		lists = map[string]string{}
		c.crls[shard] = lists
	}
	lists[d["number"]] = d["crl"]
	for len(lists) > keptCRLs {
		lowest := ""
		for number := range lists {
			if lowest == "" || len(number) < len(lowest) || len(number) == len(lowest) && number < lowest {
				lowest = number
			}
		}
		delete(lists, lowest)
	}
}

// listsOf names the full lists or the deltas of a shard, which are kept apart.
func listsOf(shard string, delta bool) string {
	if delta {
		return shard + "/delta"
	}
	return shard
}

// checkedRows reads what the leaves of slices were made from.
var checkedRows = bulk{
	before: `SELECT v.column1, a.authority, a.generation, s.shard, o.kind, o.namespace, s.name, s.digest, s.not_after, s.intended_at, s.tbs, t.issued_at, t.tail FROM (`,
	after: `) AS v JOIN serials s ON s.serial = v.column2 JOIN issuers a ON a.id = s.issuer JOIN scopes o ON o.id = s.scope
		LEFT JOIN issued t ON t.serial_id = s.id`,
	columns: []string{"BIGINT", "BYTES"},
}

// slice recomputes the digests of a slice's leaf from the rows. The rows of an
// import are as those of an intent, with the source beside the serials.
func (c *checker) slice(ctx context.Context, l audit.Leaf, d audit.Detail) ([]audit.Finding, error) {
	serials := make([]string, 0, len(d))
	intent := l.Act == actIntent || l.Act == actImport
	for serial := range d {
		if serial != "source" {
			serials = append(serials, serial)
		}
	}
	sort.Strings(serials)
	problems := make([]string, len(serials))
	for i, serial := range serials {
		problems[i] = "its row was deleted"
		if intent {
			c.intended.add(serial)
		} else {
			c.issued.add(serial)
		}
	}
	if err := c.readArchives(ctx); err != nil {
		return nil, err
	}
	err := c.n.s.query(ctx, c.n.tx, &checkedRows, len(serials), func(args []any, i int) []any {
		return append(args, int64(i), octets(pki.Serial(serials[i])))
	}, func(rows *sql.Rows) error {
		var i, notAfter, intendedAt int64
		var k authority.IssuerKey
		var in authority.Intent
		var digest, tail []byte
		var issuedAt sql.NullInt64
		err := rows.Scan(&i, &k.Authority, &k.Generation, &in.Shard, &in.Identity.Kind, &in.Identity.Namespace, &in.Identity.Name, &digest,
			&notAfter, &intendedAt, &in.TBS, &issuedAt, &tail)
		if err != nil {
			return err
		}
		copy(in.Identity.Digest[:], digest)
		in.NotAfter = fromMicros(sql.NullInt64{Int64: notAfter, Valid: true})
		sum, at := intentSum(in), intendedAt
		problem := "its request, name, shard, notAfter or to-be-signed certificate was changed"
		if !intent {
			sum, at, problem = contentSum(in.TBS, tail), issuedAt.Int64, "its certificate was changed"
		}
		switch {
		case !intent && !issuedAt.Valid:
			problems[i] = "the row that says it was issued was deleted"
		case issuerName(k) != l.Subject:
			problems[i] = "its issuer was changed to " + issuerName(k)
		case at != l.At:
			problems[i] = "its time was changed"
		case sum == d[serials[i]]:
			problems[i] = ""
		case len(in.TBS) == 0 && len(tail) == 0 && issuedAt.Valid && c.archived.before > notAfter:
			problems[i] = "" // an archive has it
			if !intent {
				c.archived.removed++
			}
		case d[serials[i]] != "" && (len(in.TBS) == 0 || !intent && len(tail) == 0):
			problems[i] = "its content was removed"
		default:
			problems[i] = problem
		}
		return nil
	})
	var found []audit.Finding
	for i, problem := range problems {
		if problem != "" {
			found = append(found, audit.Finding{Leaf: l.Seq, What: "serial " + serials[i] + " of " + l.Subject, Problem: problem + " (" + l.String() + ")"})
		}
	}
	return found, err
}

func (c *checker) isAbandoned(ctx context.Context, l audit.Leaf) ([]audit.Finding, error) {
	r, err := oneRecord(ctx, c.n.tx, `WHERE s.serial = $1`, octets(pki.Serial(strings.TrimPrefix(l.Subject, serialSubject("")))))
	switch {
	case errors.Is(err, authority.ErrNotFound):
		return []audit.Finding{audit.About(l, "the serial's row was deleted")}, nil
	case err != nil:
		return nil, err
	case r.State != authority.StateAbandoned || r.Revocation == nil || r.Revocation.At.UnixMicro() != l.At:
		return []audit.Finding{audit.About(l, "the serial is %s in the ledger, or was abandoned at another time", r.State)}, nil
	}
	return nil, nil
}

// act compares the row of an act with its leaf, and sees that the certificate has a revocation.
func (c *checker) act(ctx context.Context, l audit.Leaf, d audit.Detail) ([]audit.Finding, error) {
	name := strings.SplitN(d["act"], "/", 3)
	if len(name) != 3 {
		return []audit.Finding{audit.About(l, "names no act")}, nil
	}
	p, err := findAct(ctx, c.n.tx, name[0], name[1], name[2])
	if errors.Is(err, authority.ErrNotFound) {
		return []audit.Finding{audit.About(l, "the row of act %s was deleted", d["act"])}, nil
	}
	if err != nil {
		return nil, err
	}
	want, at := actLeaf(p), p.RecordedAt.UnixMicro()
	if l.Act == actImportAct {
		want, at = importedActLeaf(p, d["source"], authority.Refusal(d["misfit"])), l.At // the detail has the other time
	}
	text, err := want.detail.Canonical()
	if err != nil {
		return nil, err
	}
	if want.act != l.Act || want.subject != l.Subject || text != l.Detail || at != l.At {
		return []audit.Finding{audit.About(l, "the row of act %s was changed: it says %s %s %s", d["act"], want.act, want.subject, text)}, nil
	}
	if p.Refusal != "" || d["misfit"] != "" {
		return nil, nil
	}
	if _, there := c.imported[l.Subject]; there || l.Act == actImportAct {
		c.imported[l.Subject] = left{listed(p.Act).String(), p.At.UnixMicro()}
	}
	var n int
	err = c.n.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM serials s JOIN revocations r ON r.serial_id = s.id WHERE s.serial = $1`, octets(p.Serial)).Scan(&n)
	if err == nil && n == 0 {
		return []audit.Finding{audit.About(l, "the row of the certificate's revocation was deleted")}, nil
	}
	return nil, err
}

func (c *checker) key(ctx context.Context, l audit.Leaf, d audit.Detail) ([]audit.Finding, error) {
	owner := strings.TrimPrefix(l.Subject, "key/")
	i := strings.LastIndex(owner, "/g")
	if i < 0 {
		return []audit.Finding{audit.About(l, "names no key")}, nil
	}
	generation, err := strconv.ParseInt(owner[i+2:], 10, 32)
	if err != nil {
		return []audit.Finding{audit.About(l, "names no key")}, nil
	}
	k, err := findKey(ctx, c.n.tx, owner[:i], int32(generation))
	switch {
	case errors.Is(err, authority.ErrNotFound):
		return []audit.Finding{audit.About(l, "the key's row was deleted")}, nil
	case err != nil:
		return nil, err
	case k.Device != d["device"] || k.Label != d["label"] || fingerprint(k.PublicKey) != d["publicKey"]:
		return []audit.Finding{audit.About(l, "the key's row was changed")}, nil
	}
	return nil, nil
}

func (c *checker) mark(ctx context.Context, l audit.Leaf) ([]audit.Finding, error) {
	marks, err := readMarks(ctx, c.n.tx, l.Seq-1, 1)
	if err != nil {
		return nil, err
	}
	if len(marks) == 0 || marks[0].Seq != l.Seq {
		return []audit.Finding{audit.About(l, "the mark's row was deleted")}, nil
	}
	want := markLeaf(marks[0])
	text, err := want.detail.Canonical()
	if err == nil && (want.subject != l.Subject || text != l.Detail) {
		return []audit.Finding{audit.About(l, "the mark's row was changed")}, nil
	}
	return nil, err
}

func acceptedSubject(name string) string { return "accepted/" + name }
