package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/terrace-pki/terrace/internal/authority"
)

// maxAnswer bounds the content of one answer of the feed, in bytes; one change
// may be larger by itself.
const maxAnswer = 16 << 20

// recordsByID reads the present state of serials, with the ids of their rows.
var recordsByID = bulk{
	before:  `SELECT s.id, ` + recordColumns + `, ` + contentColumns + ` FROM (`,
	after:   `) AS v JOIN serials s ON s.id = v.column1` + joinRecord,
	columns: []string{"BIGINT"},
}

// subject is what a change is about; all of its fields are the key.
type subject struct {
	kind   authority.ChangeKind
	serial int64 // the id of its row
	name   string
	issuer authority.IssuerKey
	shard  int32
}

// numbered is a row of the feed.
type numbered struct {
	seq int64
	subject
}

// Changes returns changes above after with their present state; see
// [authority.Feed]. Of several changes of one subject the last is kept.
func (s *Store) Changes(ctx context.Context, after int64, limit int) ([]authority.Change, int64, error) {
	const operation = "read feed"
	if err := checkLimit(limit); err != nil {
		return nil, after, s.failed(operation, err)
	}
	// The numbers are read first and the state afterwards, so the state is never
	// older than the change.
	rows, err := s.feedRows(ctx, after, limit)
	if err != nil {
		return nil, after, s.failed(operation, err)
	}
	if len(rows) == 0 {
		return nil, after, nil
	}
	next := rows[len(rows)-1].seq
	rows = lastOfEach(rows)
	records, err := s.presentRecords(ctx, rows)
	if err != nil {
		return nil, after, s.failed(operation, err)
	}
	changes := make([]authority.Change, 0, len(rows))
	size := 0
	for i, r := range rows {
		change, n, err := s.present(ctx, r, records)
		if err != nil {
			return nil, after, s.failed(operation, fmt.Errorf("change %d: %w", r.seq, err))
		}
		if size += n; size > maxAnswer && i > 0 {
			next = changes[i-1].Seq // the rest comes with the next call
			break
		}
		changes = append(changes, change)
	}
	return changes, next, nil
}

// feedRows reads no more than a range of the index of numbers, which has no gaps.
func (s *Store) feedRows(ctx context.Context, after int64, limit int) ([]numbered, error) {
	rows, err := s.c.Reader.QueryContext(ctx, `SELECT seq, kind, serial_id, name, authority, generation, shard FROM feed WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (r numbered, err error) {
		var serial sql.NullInt64
		var name, issuer sql.NullString
		var generation, shard sql.NullInt32
		err = rows.Scan(&r.seq, &r.kind, &serial, &name, &issuer, &generation, &shard)
		r.serial, r.name, r.shard = serial.Int64, name.String, shard.Int32
		r.issuer = authority.IssuerKey{Authority: issuer.String, Generation: generation.Int32}
		return r, err
	})
}

func lastOfEach(rows []numbered) []numbered {
	last := make(map[subject]int64, len(rows))
	for _, r := range rows {
		last[r.subject] = r.seq
	}
	kept := rows[:0]
	for _, r := range rows {
		if last[r.subject] == r.seq {
			kept = append(kept, r)
		}
	}
	return kept
}

// presentRecords reads the records that rows are about, by the ids of their serials.
func (s *Store) presentRecords(ctx context.Context, rows []numbered) (map[int64]*authority.Record, error) {
	var ids []int64
	for _, r := range rows {
		if r.kind == authority.ChangeSerial {
			ids = append(ids, r.serial)
		}
	}
	records := make(map[int64]*authority.Record, len(ids))
	err := s.query(ctx, s.c.Reader, &recordsByID, len(ids), func(args []any, i int) []any {
		return append(args, ids[i])
	}, func(rows *sql.Rows) error {
		var row recordRow
		var id int64
		if err := rows.Scan(append(append([]any{&id}, row.fields()...), row.contentFields()...)...); err != nil {
			return err
		}
		r, err := row.record()
		records[id] = &r
		return err
	})
	return records, err
}

// present completes a change; size is that of its content.
func (s *Store) present(ctx context.Context, r numbered, records map[int64]*authority.Record) (c authority.Change, size int, err error) {
	c = authority.Change{Seq: r.seq, Kind: r.kind}
	switch r.kind {
	case authority.ChangeSerial:
		if c.Record = records[r.serial]; c.Record == nil {
			return c, 0, fmt.Errorf("row %d of serials: %w", r.serial, authority.ErrNotFound)
		}
		return c, len(c.Record.Certificate) + len(c.Record.TBS), nil
	case authority.ChangeCRL:
		crl, err := s.CurrentCRL(ctx, r.issuer, r.shard)
		c.CRL = &crl
		return c, len(crl.DER), err
	case authority.ChangeDelta:
		delta, err := s.CurrentDelta(ctx, r.issuer, r.shard)
		c.CRL = &delta
		return c, len(delta.DER), err
	case authority.ChangeAccepted:
		c.Accepted = &authority.Accepted{Name: r.name}
		err = s.c.Reader.QueryRowContext(ctx, `SELECT spec FROM accepted WHERE name = $1`, r.name).Scan(&c.Accepted.Spec)
		return c, len(c.Accepted.Spec), err
	}
	return c, 0, fmt.Errorf("kind %q is unknown to this release", r.kind)
}
