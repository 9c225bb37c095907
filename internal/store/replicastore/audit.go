package replicastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/terrace-pki/terrace/internal/replica"
)

// Audit implements [replica.Store].
func (s *Store) Audit(ctx context.Context) (replica.Audit, error) {
	a, err := readAudit(ctx, s.reader)
	if err != nil {
		return replica.Audit{}, fmt.Errorf("read audit checkpoint of replica: %w", err)
	}
	return a, nil
}

func readAudit(ctx context.Context, q querier) (a replica.Audit, err error) {
	err = q.QueryRowContext(ctx, `SELECT text, key, refused, reason, forked FROM audit`).Scan(&a.Text, &a.Key, &a.Refused, &a.Reason, &a.Forked)
	if errors.Is(err, sql.ErrNoRows) {
		return replica.Audit{}, nil
	}
	return a, err
}

// audit takes a checkpoint in, or keeps why not.
func (w *writer) audit(ctx context.Context, p replica.AuditPush) error {
	held, err := readAudit(ctx, w.tx)
	if err != nil {
		return err
	}
	a := held.Take(p)
	_, err = w.tx.ExecContext(ctx, `INSERT INTO audit (one, text, key, refused, reason, forked) VALUES (1, ?, ?, ?, ?, ?)
		ON CONFLICT (one) DO UPDATE SET text = excluded.text, key = excluded.key, refused = excluded.refused, reason = excluded.reason, forked = excluded.forked`,
		blob(a.Text), blob(a.Key), blob(a.Refused), a.Reason, a.Forked)
	return err
}

// blob is never NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
