package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/recovery"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/store/replicastore"
)

// ReconcileLedger has a restored ledger import from the sources what it forgot;
// see [recovery.Run]. It takes over a SQLite ledger, and is an instance of its own on PostgreSQL. With
// c.Dry the ledger is only read. c.Store is set here.
func ReconcileLedger(ctx context.Context, ledger string, c recovery.Config) (report recovery.Report, err error) {
	var store authority.Store
	if c.Dry {
		store, err = ReadLedger(ctx, ledger)
	} else if store, err = (Core{LedgerDSN: ledger, Instance: "reconcile"}).openLedger(ctx); err != nil {
		err = fmt.Errorf("open ledger: %w", err)
	}
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	restored, ok := store.(recovery.Store)
	if !ok {
		return report, fmt.Errorf("reconcile: a %T cannot", store)
	}
	c.Store = restored
	return recovery.Run(ctx, c)
}

// ReplicaSource is the file of a validation node's replica, or a copy of it.
type ReplicaSource struct{ Path string }

// Name implements [recovery.Source].
func (s ReplicaSource) Name() string { return "validation node " + s.Path }

// Read implements [recovery.Source]. Its lists, which the CA signed, come last.
func (s ReplicaSource) Read(ctx context.Context, yield func(recovery.Evidence) error) (err error) {
	if _, err := os.Stat(s.Path); errors.Is(err, fs.ErrNotExist) { // opening would make it
		return err
	}
	store, err := replicastore.Open(ctx, s.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	state, err := store.State(ctx)
	if err != nil {
		return err
	}
	if state.Refilling {
		return errors.New("the replica is being filled anew and may lack what it knew before: take another node's, or a copy from before the restore")
	}
	return store.Each(ctx,
		func(status replica.Status) error { return yield(recovery.Evidence{Status: &status}) },
		func(list authority.CRL) error {
			if _, trust := list.Issuer.OfTrustList(); trust { // no revocation list
				return nil
			}
			return yield(recovery.Evidence{CRL: list.DER})
		})
}
