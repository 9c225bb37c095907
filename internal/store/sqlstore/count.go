package sqlstore

import (
	"context"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Count returns the number of Issued serials of issuer.
func (s *Store) Count(ctx context.Context, issuer authority.IssuerKey) (int64, error) {
	var n int64
	err := s.c.Reader.QueryRowContext(ctx, `SELECT issued FROM issuers WHERE authority = $1 AND generation = $2`, issuer.Authority, issuer.Generation).Scan(&n)
	if notFound(err) {
		return 0, nil
	}
	return n, s.failed("count issued serials", err)
}
