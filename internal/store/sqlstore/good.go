package sqlstore

import (
	"context"
	"database/sql"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Good returns a page of what is valid; see [authority.Revocations]. A page is of
// so many serials of any issuer and state, so that each call costs the same, and goes on from a
// row's id, so that no long reading keeps the database from cleaning up.
func (s *Store) Good(ctx context.Context, issuer authority.IssuerKey, after int64, limit int) ([]authority.Record, int64, error) {
	const operation = "read good serials"
	if err := checkLimit(limit); err != nil {
		return nil, after, s.failed(operation, err)
	}
	next := after
	rows, err := s.c.Reader.QueryContext(ctx, `SELECT s.id, `+recordColumns+`, `+contentColumns+
		` FROM (SELECT * FROM serials WHERE id > $1 ORDER BY id LIMIT $2) AS s `+joinRecord+`ORDER BY s.id`, after, limit)
	if err != nil {
		return nil, after, s.failed(operation, err)
	}
	var good []authority.Record
	err = scanEach(rows, func(rows *sql.Rows) error {
		var r recordRow
		if err := rows.Scan(append(append([]any{&next}, r.fields()...), r.contentFields()...)...); err != nil {
			return err
		}
		record, err := r.record()
		if err == nil && record.Issuer == issuer && record.State == authority.StateIssued && record.Revocation == nil {
			good = append(good, record)
		}
		return err
	})
	if err != nil {
		return nil, after, s.failed(operation, err)
	}
	return good, next, nil
}
