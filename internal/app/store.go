package app

import (
	"context"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/postgres"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// openLedger takes the ledger over: earlier processes of the instance are fenced off.
func (c Core) openLedger(ctx context.Context) (authority.Store, error) {
	driver, rest, err := dsn("--ledger", c.LedgerDSN, "TERRACE_LEDGER")
	if err != nil {
		return nil, err
	}
	if driver == "sqlite" {
		return sqlite.Open(ctx, sqlite.Config{Path: rest, TakeOver: true})
	}
	return postgres.Open(ctx, postgres.Config{DSN: rest, TakeOver: true, Instance: c.Instance})
}

// openRegistration opens the RA's database.
func openRegistration(ctx context.Context, name string) (registration.Store, error) {
	driver, rest, err := dsn("--registration-store", name, "TERRACE_REGISTRATION_STORE")
	if err != nil {
		return nil, err
	}
	if driver == "sqlite" {
		return sqlite.OpenRegistration(ctx, rest)
	}
	return postgres.OpenRegistration(ctx, rest)
}
