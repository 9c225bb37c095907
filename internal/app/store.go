package app

import (
	"context"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/postgres"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// OpenLedger opens the ledger. With takeOver it begins a new epoch: this
// process issues, and earlier ones are fenced off. Without, only what is not
// fenced works, such as revocation.
func (c Config) OpenLedger(ctx context.Context, takeOver bool) (authority.Store, error) {
	driver, rest, err := c.ledger()
	if err != nil {
		return nil, err
	}
	if driver == "sqlite" {
		return sqlite.Open(ctx, sqlite.Config{Path: rest, TakeOver: takeOver})
	}
	return postgres.Open(ctx, postgres.Config{DSN: rest, TakeOver: takeOver})
}
