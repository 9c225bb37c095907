package sqlstore

import (
	"context"
	"database/sql"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Good returns a page of what is valid; see [authority.Revocations]. A page goes
// on from a row's id, so that no long reading keeps the database from cleaning up.
func (s *Store) Good(ctx context.Context, issuer authority.IssuerKey, after int64, limit int) ([]authority.Record, int64, error) {
	const operation = "read good serials"
	if err := checkLimit(limit); err != nil {
		return nil, after, s.failed(operation, err)
	}
	rows, err := s.c.Reader.QueryContext(ctx, `SELECT s.id, `+identityColumns+`, `+serialColumns+`, `+contentColumns+fromSerials+
		`WHERE s.authority = $1 AND s.generation = $2 AND s.state = 'Issued' AND s.revoked_at IS NULL AND s.id > $3 ORDER BY s.id LIMIT $4`,
		issuer.Authority, issuer.Generation, after, limit)
	if err != nil {
		return nil, after, s.failed(operation, err)
	}
	next := after
	records, err := scanAll(rows, func(rows *sql.Rows) (authority.Record, error) {
		var r recordRow
		fields := append([]any{&next}, r.identityFields()...)
		if err := rows.Scan(append(append(fields, r.serialFields()...), r.contentFields()...)...); err != nil {
			return authority.Record{}, err
		}
		return r.record()
	})
	if err != nil {
		return nil, after, s.failed(operation, err)
	}
	return records, next, nil
}
