package app

import (
	"context"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/postgres"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// ReadLedger opens a ledger without taking it over: the process that issues
// goes on, and writes return ErrFenced.
func ReadLedger(ctx context.Context, name string) (authority.Store, error) {
	driver, rest, err := dsn("--ledger", name, "TERRACE_LEDGER")
	if err != nil {
		return nil, err
	}
	if driver == "sqlite" {
		return sqlite.Open(ctx, sqlite.Config{Path: rest})
	}
	return postgres.Open(ctx, postgres.Config{DSN: rest})
}
