package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"

	"github.com/terrace-pki/terrace/internal/authority"
)

// countSlots is the number of rows that share an issuer's count: transactions
// at the same time seldom meet in one.
const countSlots = 16

// countIssued adds to an issuer's count. It comes last in its transaction, which
// locks the row until its commit.
func countIssued(ctx context.Context, tx *sql.Tx, issuer authority.IssuerKey, n int) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO issued_counts (authority, generation, slot, issued) VALUES ($1, $2, $3, $4)
		ON CONFLICT (authority, generation, slot) DO UPDATE SET issued = issued_counts.issued + excluded.issued`,
		issuer.Authority, issuer.Generation, rand.IntN(countSlots), n)
	if err != nil {
		return fmt.Errorf("count issued serials: %w", err)
	}
	return nil
}

// Count returns the number of Issued serials of issuer.
func (s *Store) Count(ctx context.Context, issuer authority.IssuerKey) (int64, error) {
	var n int64
	err := s.c.Reader.QueryRowContext(ctx, `SELECT CAST(COALESCE(SUM(issued), 0) AS BIGINT) FROM issued_counts WHERE authority = $1 AND generation = $2`,
		issuer.Authority, issuer.Generation).Scan(&n)
	return n, s.failed("count issued serials", err)
}
