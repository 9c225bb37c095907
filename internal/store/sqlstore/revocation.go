package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Revoke marks an Issued serial, once; see [authority.Revocations].
func (s *Store) Revoke(ctx context.Context, issuer authority.IssuerKey, serial pki.Serial, r authority.Revocation) (authority.Record, error) {
	const operation = "revoke serial"
	at, err := micros("revocation time", r.At)
	if err != nil {
		return authority.Record{}, s.failed(operation, err)
	}
	if !r.Reason.OnCRL() {
		return authority.Record{}, s.failed(operation, fmt.Errorf("%s may not stand on a CRL (RFC 5280 section 5.3.1)", r.Reason))
	}
	var record authority.Record
	// Die before the commit: nothing is revoked. Die after: the next call
	// returns this revocation.
	err = s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE serials SET revoked_at = $1, reason = $2
			WHERE serial = $3 AND authority = $4 AND generation = $5 AND state = 'Issued' AND revoked_at IS NULL`,
			at, int32(r.Reason), string(serial), issuer.Authority, issuer.Generation)
		if err != nil {
			return err
		}
		changed, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if record, err = oneRecord(ctx, tx, bySerial+` AND s.state = 'Issued'`, string(serial), issuer.Authority, issuer.Generation); err != nil {
			return err
		}
		if changed == 0 {
			return nil // revoked before
		}
		return s.audit(ctx, tx, s.now(), []leaf{{actRevoke, serialSubject(string(serial)), detail{
			"at": r.At.UTC().Format(time.RFC3339Nano), "reason": r.Reason.String()}}})
	})
	if err != nil {
		return authority.Record{}, s.failed(operation, err)
	}
	return record, nil
}

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
