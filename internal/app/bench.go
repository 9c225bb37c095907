package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/terrace-pki/terrace/internal/atomicfile"
	"github.com/terrace-pki/terrace/internal/bench"
)

// BenchConfig is what a bench measures: a ledger and a device.
type BenchConfig struct {
	LocalDevice
	// LedgerDSN as Core.LedgerDSN. The bench takes the ledger over.
	LedgerDSN string
}

// OpenBench makes a CA for a bench. A keystore's password is drawn on first use.
// closeAll ends it.
func OpenBench(ctx context.Context, c BenchConfig, rootDir string, shards int32) (stage *bench.Stage, closeAll func() error, err error) {
	if c.KeystoreDir != "" {
		if err := ensurePassword(c.PasswordFile); err != nil {
			return nil, nil, err
		}
	}
	if err := c.LocalDevice.validate(); err != nil {
		return nil, nil, err
	}
	store, err := Core{LedgerDSN: c.LedgerDSN}.openLedger(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("open ledger: %w", err)
	}
	dev, err := c.LocalDevice.open()
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	closeAll = func() error { return errors.Join(dev.Close(), store.Close()) }
	if stage, err = bench.NewStage(ctx, store, dev, rootDir, shards); err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	return stage, closeAll, nil
}

func ensurePassword(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return atomicfile.Write(path, []byte(rand.Text()+"\n"), 0o600)
}
