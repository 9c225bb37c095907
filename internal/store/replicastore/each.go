package replicastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
)

// Each calls yield for every status, then crl for every list, as one transaction
// sees them, and ends with the first error of theirs.
func (s *Store) Each(ctx context.Context, yield func(replica.Status) error, crl func(authority.CRL) error) (err error) {
	tx, err := s.reader.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("read replica: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it wrote nothing
	rows, err := tx.QueryContext(ctx, `SELECT i.authority, i.generation, s.serial, s.not_after, s.revoked_at, s.reason FROM issuers i JOIN statuses s ON s.issuer = i.id`)
	if err != nil {
		return fmt.Errorf("read statuses of replica: %w", err)
	}
	err = eachRow(rows, func() error {
		var status replica.Status
		var serial []byte
		var notAfter int64
		var revokedAt, reason sql.NullInt64
		if err := rows.Scan(&status.Issuer.Authority, &status.Issuer.Generation, &serial, &notAfter, &revokedAt, &reason); err != nil {
			return err
		}
		status.Serial, status.NotAfter = pki.Serial(fmt.Sprintf("%X", serial)), time.Unix(notAfter, 0).UTC()
		if revokedAt.Valid {
			status.Revocation = &authority.Revocation{At: time.UnixMicro(revokedAt.Int64).UTC(), Reason: pki.Reason(reason.Int64)}
		}
		return yield(status)
	})
	if err != nil {
		return err
	}
	if rows, err = tx.QueryContext(ctx, `SELECT i.authority, i.generation, c.shard, c.number, c.der FROM issuers i JOIN crls c ON c.issuer = i.id`); err != nil {
		return fmt.Errorf("read lists of replica: %w", err)
	}
	return eachRow(rows, func() error {
		var c authority.CRL
		if err := rows.Scan(&c.Issuer.Authority, &c.Issuer.Generation, &c.Shard, &c.Number, &c.DER); err != nil {
			return err
		}
		return crl(c)
	})
}

func eachRow(rows *sql.Rows, do func() error) error {
	for rows.Next() {
		if err := do(); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
