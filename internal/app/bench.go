package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/terrace-pki/terrace/internal/atomicfile"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/bench"
	"github.com/terrace-pki/terrace/internal/device"
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
	p, err := openBench(ctx, c, rootDir, shards)
	if err != nil {
		return nil, nil, err
	}
	return p.stage, p.close, nil
}

// OpenBenchNode is OpenBench with a validation node that answers for the CA from
// the replica at path.
func OpenBenchNode(ctx context.Context, c BenchConfig, rootDir string, shards int32, path string) (stage *bench.Stage, node bench.OCSPNode, closeAll func() error, err error) {
	p, err := openBench(ctx, c, rootDir, shards)
	if err != nil {
		return nil, node, nil, err
	}
	node, closeNode, err := openBenchNode(ctx, p.stage, p.store, p.device, path)
	if err != nil {
		return nil, node, nil, errors.Join(fmt.Errorf("open validation node: %w", err), p.close())
	}
	return p.stage, node, func() error { return errors.Join(closeNode(), p.close()) }, nil
}

// benchParts are what a bench works on.
type benchParts struct {
	stage  *bench.Stage
	store  authority.Store
	device device.Device
	close  func() error
}

func openBench(ctx context.Context, c BenchConfig, rootDir string, shards int32) (p benchParts, err error) {
	if c.KeystoreDir != "" {
		if err := ensurePassword(c.PasswordFile); err != nil {
			return p, err
		}
	}
	if err := c.LocalDevice.validate(); err != nil {
		return p, err
	}
	store, err := Core{LedgerDSN: c.LedgerDSN}.openLedger(ctx)
	if err != nil {
		return p, fmt.Errorf("open ledger: %w", err)
	}
	if c.SDF.LibraryPath != "" {
		return p, errors.New("an SDF device cannot be measured: the bench makes keys, which SDF has no function for")
	}
	dev, err := c.LocalDevice.open("")
	if err != nil {
		return p, errors.Join(err, store.Close())
	}
	p = benchParts{store: store, device: dev, close: func() error { return errors.Join(dev.Close(), store.Close()) }}
	if p.stage, err = bench.NewStage(ctx, store, dev, rootDir, shards); err != nil {
		return p, errors.Join(err, p.close())
	}
	return p, nil
}

func ensurePassword(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return atomicfile.Write(path, []byte(rand.Text()+"\n"), 0o600)
}
