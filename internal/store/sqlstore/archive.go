package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

const actArchive = "archive"

var _ authority.Archiver = (*Store)(nil)

// Expired returns a page of what can be archived; see [authority.Archiver]. Rows
// are in the order of their intents, and nothing expires before it was intended, so it stops there.
func (s *Store) Expired(ctx context.Context, before time.Time, after int64, limit int) ([]authority.Archivable, int64, error) {
	const operation = "read expired certificates"
	if err := checkLimit(limit); err != nil {
		return nil, after, s.failed(operation, err)
	}
	next := after
	rows, err := s.c.Reader.QueryContext(ctx, `SELECT s.id, `+recordColumns+`, `+contentColumns+
		` FROM (SELECT * FROM serials WHERE id > $1 ORDER BY id LIMIT $2) AS s `+joinRecord+`WHERE s.intended_at < $3 ORDER BY s.id`, after, limit, before.UnixMicro())
	if err != nil {
		return nil, after, s.failed(operation, err)
	}
	var page []authority.Archivable
	err = scanEach(rows, func(rows *sql.Rows) error {
		var r recordRow
		if err := rows.Scan(append(append([]any{&next}, r.fields()...), r.contentFields()...)...); err != nil {
			return err
		}
		record, err := r.record()
		if err == nil && len(record.Certificate) > 0 && record.NotAfter.Before(before) {
			page = append(page, authority.Archivable{Row: next, Record: record})
		}
		return err
	})
	return page, next, s.failed(operation, err)
}

// dropTBS and dropTail take the time before which the certificates expired.
var (
	dropTBS = bulk{
		before:  `UPDATE serials SET tbs = NULL WHERE not_after < $1 AND tbs IS NOT NULL AND id IN (SELECT t.serial_id FROM (`,
		after:   `) AS v JOIN issued t ON t.serial_id = v.column1)`,
		fixed:   1,
		columns: []string{"BIGINT"},
	}
	dropTail = bulk{
		before:  `UPDATE issued SET tail = NULL WHERE tail IS NOT NULL AND serial_id IN (SELECT s.id FROM (`,
		after:   `) AS v JOIN serials s ON s.id = v.column1 WHERE s.not_after < $1)`,
		fixed:   1,
		columns: []string{"BIGINT"},
	}
)

// DropContent drops what was archived; see [authority.Archiver].
func (s *Store) DropContent(ctx context.Context, before time.Time, rows []int64) (n int64, err error) {
	const operation = "drop archived content"
	if err := checkLimit(len(rows)); err != nil {
		return 0, s.failed(operation, err)
	}
	row := func(args []any, i int) []any { return append(args, rows[i]) }
	err = s.fenced(ctx, operation, func(ctx context.Context, tx *sql.Tx) error {
		if n, err = s.exec(ctx, tx, &dropTBS, len(rows), row, before.UnixMicro()); err != nil {
			return err
		}
		_, err := s.exec(ctx, tx, &dropTail, len(rows), row, before.UnixMicro())
		return err
	})
	return n, err
}

// NoteArchive writes the leaf about an archive; see [authority.Archiver].
func (s *Store) NoteArchive(ctx context.Context, note map[string]string) error {
	return s.acting(ctx, "note archive", func(ctx context.Context, tx *sql.Tx) error {
		if len(note) == 0 {
			return errors.New("nothing to note")
		}
		_, err := s.tell(ctx, tx, s.now(), []leaf{{actArchive, "ledger", detail(note)}})
		return err
	})
}
