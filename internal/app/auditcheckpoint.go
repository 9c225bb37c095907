package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/validation"
)

// ledgerCheckpoints serves what the ledger itself has: of use to look, not to convince.
func ledgerCheckpoints(store authority.Store) validation.Checkpoints {
	return func(ctx context.Context) ([]byte, error) {
		signed, err := store.AuditCheckpoint(ctx)
		if errors.Is(err, authority.ErrNotFound) {
			return nil, fmt.Errorf("%w: %w", err, validation.ErrNotFound)
		}
		return signed.Text(), err
	}
}

// replicaCheckpoints serves the checkpoint that a node holds: the newest whose
// tree began with that of the one before.
func replicaCheckpoints(store replica.Store) validation.Checkpoints {
	return func(ctx context.Context) ([]byte, error) {
		held, err := store.Audit(ctx)
		if err == nil && len(held.Text) == 0 {
			err = validation.ErrNotFound
		}
		return held.Text, err
	}
}
