package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/store/postgres"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

// Audit is a ledger as those who audit open it: beside the process that issues,
// without taking anything over.
type Audit struct{ store *sqlstore.Store }

// OpenAudit opens the ledger of a DSN; see Core.LedgerDSN.
func OpenAudit(ctx context.Context, name string) (*Audit, error) {
	driver, rest, err := dsn("--ledger", name, "TERRACE_LEDGER")
	if err != nil {
		return nil, err
	}
	open := postgres.OpenAudit
	if driver == "sqlite" {
		open = sqlite.OpenAudit
	}
	store, err := open(ctx, rest)
	if err != nil {
		return nil, err
	}
	return &Audit{store}, nil
}

// Read runs do over one state of the ledger.
func (a *Audit) Read(ctx context.Context, do func(audit.Ledger) error) (err error) {
	n, err := a.store.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	return do(n)
}

// Mark records an auditor's mark and returns the number of its leaf.
func (a *Audit) Mark(ctx context.Context, m audit.Mark) (int64, error) { return a.store.Mark(ctx, m) }

// Newest returns the newest checkpoint, and says what to do when there is none.
func (a *Audit) Newest(ctx context.Context) (audit.Signed, error) {
	signed, err := a.store.AuditCheckpoint(ctx)
	if err != nil {
		return signed, fmt.Errorf("%w (the process that issues signs checkpoints, when it is started with --audit-device)", err)
	}
	return signed, nil
}

// Close ends the connections.
func (a *Audit) Close() error { return a.store.Close() }
