package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Revoked calls yield for what stands on a shard's CRL; see [authority.Revocations].
// It reads one snapshot. An error of yield ends it and is returned as it is.
func (s *Store) Revoked(ctx context.Context, issuer authority.IssuerKey, shard int32, notAfter time.Time, yield func(authority.Record) error) error {
	const operation = "read revoked serials"
	from := notAfter.UnixMicro()
	if notAfter.IsZero() {
		from = 0
	}
	rows, err := s.c.Reader.QueryContext(ctx, `SELECT `+identityColumns+`, `+serialColumns+fromSerials+
		`WHERE s.authority = $1 AND s.generation = $2 AND s.shard = $3 AND s.revoked_at IS NOT NULL AND s.not_after >= $4 ORDER BY s.serial`,
		issuer.Authority, issuer.Generation, shard, from)
	if err != nil {
		return s.failed(operation, err)
	}
	var refused error
	err = scanEach(rows, func(rows *sql.Rows) error {
		var r recordRow
		if err := rows.Scan(append(r.identityFields(), r.serialFields()...)...); err != nil {
			return err
		}
		record, err := r.record()
		if err != nil {
			return err
		}
		refused = yield(record)
		return refused
	})
	if refused != nil {
		return refused
	}
	return s.failed(operation, err)
}
