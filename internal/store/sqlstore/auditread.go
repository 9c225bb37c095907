package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Snapshot is one state of a ledger for those who audit: a read transaction.
// It is for one goroutine, and Close ends it.
type Snapshot struct {
	s  *Store
	tx *sql.Tx
}

var _ audit.Ledger = (*Snapshot)(nil)

// Snapshot begins to read. While it is open the database keeps what is changed
// meanwhile: it is to be closed soon after.
func (s *Store) Snapshot(ctx context.Context) (*Snapshot, error) {
	tx, err := s.c.Reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, s.failed("begin to read", err)
	}
	return &Snapshot{s, tx}, nil
}

// Close ends the transaction.
func (n *Snapshot) Close() error { return n.s.failed("end reading", n.tx.Rollback()) }

// Head implements [audit.Ledger].
func (n *Snapshot) Head(ctx context.Context) (head int64, err error) {
	err = n.tx.QueryRowContext(ctx, `SELECT audit FROM heads WHERE one = 1`).Scan(&head)
	return head, n.s.failed("read number of audit leaves", err)
}

// Leaves implements [audit.Ledger].
func (n *Snapshot) Leaves(ctx context.Context, q audit.Query) ([]audit.Leaf, error) {
	if q.Serial == "" {
		all, err := leaves(ctx, n.tx, q)
		return all, n.s.failed("read audit leaves", err)
	}
	all, err := n.ofSerial(ctx, q)
	return all, n.s.failed("read audit leaves of a serial", err)
}

// leaves reads what a query without a serial selects.
func leaves(ctx context.Context, q rowsQuerier, query audit.Query) ([]audit.Leaf, error) {
	if query.Limit < 1 || query.Limit > audit.MaxPage {
		return nil, fmt.Errorf("limit: %d: want 1 to %d", query.Limit, audit.MaxPage)
	}
	var where strings.Builder
	args := []any{query.After}
	add := func(condition string, arg any) {
		args = append(args, arg)
		where.WriteString(" AND " + condition + "$" + strconv.Itoa(len(args)))
	}
	if !query.Since.IsZero() {
		add("at >= ", query.Since.UnixMicro())
	}
	if !query.Until.IsZero() {
		add("at < ", query.Until.UnixMicro())
	}
	if query.Act != "" {
		add("act = ", query.Act)
	}
	if query.Subject != "" {
		add("subject = ", query.Subject)
	}
	rows, err := q.QueryContext(ctx, `SELECT seq, at, act, subject, detail FROM audit_leaves WHERE seq > $1`+where.String()+
		` ORDER BY seq LIMIT `+strconv.Itoa(query.Limit), args...)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (l audit.Leaf, err error) {
		return l, rows.Scan(&l.Seq, &l.At, &l.Act, &l.Subject, &l.Detail)
	})
}

// ofSerial reads the leaves that tell of a serial. Each was written at a time
// that a row of the serial keeps, so that no other leaf need be read.
func (n *Snapshot) ofSerial(ctx context.Context, q audit.Query) ([]audit.Leaf, error) {
	rows, err := n.tx.QueryContext(ctx, `SELECT s.intended_at FROM serials s WHERE s.serial = $1
		UNION SELECT t.issued_at FROM serials s JOIN issued t ON t.serial_id = s.id WHERE s.serial = $1
		UNION SELECT r.revoked_at FROM serials s JOIN revocations r ON r.serial_id = s.id WHERE s.serial = $1
		UNION SELECT a.recorded_at FROM acts a WHERE a.serial = $1`, octets(pki.Serial(q.Serial)))
	if err != nil {
		return nil, err
	}
	times, err := scanAll(rows, func(rows *sql.Rows) (at int64, err error) { return at, rows.Scan(&at) })
	if err != nil || len(times) == 0 {
		return nil, err
	}
	args, marks := []any{q.After}, make([]string, len(times))
	for i, at := range times {
		args = append(args, at)
		marks[i] = "$" + strconv.Itoa(i+2)
	}
	rows, err = n.tx.QueryContext(ctx, `SELECT seq, at, act, subject, detail FROM audit_leaves WHERE seq > $1 AND at IN (`+strings.Join(marks, ", ")+`) ORDER BY seq`, args...)
	if err != nil {
		return nil, err
	}
	var found []audit.Leaf
	err = scanEach(rows, func(rows *sql.Rows) error {
		var l audit.Leaf
		if err := rows.Scan(&l.Seq, &l.At, &l.Act, &l.Subject, &l.Detail); err != nil {
			return err
		}
		if len(found) < q.Limit && tellsOf(l, q.Serial) && matches(l, q) {
			found = append(found, l)
		}
		return nil
	})
	return found, err
}

func tellsOf(l audit.Leaf, serial string) bool {
	return l.Subject == serialSubject(serial) || strings.Contains(l.Detail, `"`+serial+`":"`)
}

func matches(l audit.Leaf, q audit.Query) bool {
	return (q.Since.IsZero() || l.At >= q.Since.UnixMicro()) && (q.Until.IsZero() || l.At < q.Until.UnixMicro()) &&
		(q.Act == "" || l.Act == q.Act) && (q.Subject == "" || l.Subject == q.Subject)
}

// Nodes implements [audit.Ledger].
func (n *Snapshot) Nodes(ctx context.Context, level int, from, to int64) (map[int64]audit.Hash, error) {
	nodes, err := readNodes(ctx, n.tx, level, from, to)
	return nodes, n.s.failed("read audit tree", err)
}

// Checkpoints implements [audit.Ledger].
func (n *Snapshot) Checkpoints(ctx context.Context, after int64, limit int) ([]audit.Kept, error) {
	rows, err := n.tx.QueryContext(ctx, `SELECT size, text FROM audit_checkpoints WHERE size > $1 ORDER BY size LIMIT $2`, after, limit)
	if err != nil {
		return nil, n.s.failed("read audit checkpoints", err)
	}
	all, err := scanAll(rows, func(rows *sql.Rows) (k audit.Kept, err error) { return k, rows.Scan(&k.Size, &k.Text) })
	return all, n.s.failed("read audit checkpoints", err)
}

// AuditOwner begins the owner of every audit key.
const AuditOwner = "AuditLog/"

// Keys implements [audit.Ledger].
func (n *Snapshot) Keys(ctx context.Context) ([]audit.Key, error) {
	rows, err := n.tx.QueryContext(ctx, `SELECT label, public_key FROM device_keys WHERE substr(owner, 1, length($1)) = $1 ORDER BY owner, generation`, AuditOwner)
	if err != nil {
		return nil, n.s.failed("read audit keys", err)
	}
	all, err := scanAll(rows, func(rows *sql.Rows) (k audit.Key, err error) { return k, rows.Scan(&k.Label, &k.PublicKey) })
	return all, n.s.failed("read audit keys", err)
}

// Marks implements [audit.Ledger].
func (n *Snapshot) Marks(ctx context.Context, after int64, limit int) ([]audit.Mark, error) {
	all, err := readMarks(ctx, n.tx, after, limit)
	return all, n.s.failed("read audit marks", err)
}

// Checker implements [audit.Ledger].
func (n *Snapshot) Checker(people audit.People) audit.Checker {
	return &checker{n: n, people: people, accepted: map[string]string{}, crls: map[string]map[string]string{}, numbers: map[string]int64{}, imported: map[string]left{}}
}
