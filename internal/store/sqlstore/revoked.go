package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// revoke writes that a serial is revoked, on hold or released since at, as the
// change seq tells.
func revoke(ctx context.Context, tx *sql.Tx, id, at int64, reason pki.Reason, seq int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO revocations (serial_id, issuer, shard, serial, not_after, revoked_at, reason, seq)
		SELECT id, issuer, shard, serial, not_after, $1, $2, $3 FROM serials WHERE id = $4
		ON CONFLICT (serial_id) DO UPDATE SET revoked_at = excluded.revoked_at, reason = excluded.reason, seq = excluded.seq`, at, int32(reason), seq, id)
	return err
}

// selectRevoked reads, from the revocations of an issuer's shard, what a list
// shows of them.
const selectRevoked = `SELECT r.serial, r.not_after, r.revoked_at, r.reason FROM revocations r JOIN issuers a ON a.id = r.issuer
	WHERE a.authority = $1 AND a.generation = $2 AND r.shard = $3 `

// Revoked calls yield for what stands on a shard's CRL; see [authority.Revocations].
// It reads one snapshot. An error of yield ends it and is returned as it is.
func (s *Store) Revoked(ctx context.Context, issuer authority.IssuerKey, shard int32, notAfter time.Time, yield func(authority.Record) error) error {
	from := int64(0)
	if !notAfter.IsZero() {
		from = notAfter.UnixMicro()
	}
	return s.revoked(ctx, "read revoked serials", selectRevoked+`AND r.not_after >= $4 AND r.reason <> 8 ORDER BY r.serial`, issuer, shard, from, yield)
}

// RevocationChanges calls yield for what changed on a shard's list; see [authority.Revocations].
func (s *Store) RevocationChanges(ctx context.Context, issuer authority.IssuerKey, shard int32, after int64, yield func(authority.Record) error) error {
	return s.revoked(ctx, "read changed revocations", selectRevoked+`AND r.seq > $4 ORDER BY r.serial`, issuer, shard, after, yield)
}

func (s *Store) revoked(ctx context.Context, operation, query string, issuer authority.IssuerKey, shard int32, from int64, yield func(authority.Record) error) error {
	rows, err := s.c.Reader.QueryContext(ctx, query, issuer.Authority, issuer.Generation, shard, from)
	if err != nil {
		return s.failed(operation, err)
	}
	var refused error
	err = scanEach(rows, func(rows *sql.Rows) error {
		var serial sql.RawBytes
		var notAfter, at int64
		var reason int32
		if err := rows.Scan(&serial, &notAfter, &at, &reason); err != nil {
			return err
		}
		refused = yield(authority.Record{Issuer: issuer, Serial: serialOf(serial), Shard: shard, NotAfter: time.UnixMicro(notAfter).UTC(),
			Revocation: &authority.Revocation{At: time.UnixMicro(at).UTC(), Reason: pki.Reason(reason)}})
		return refused
	})
	if refused != nil {
		return refused
	}
	return s.failed(operation, err)
}
