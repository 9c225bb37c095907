package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/bench"
)

// benchLoad is how much one bench does.
type benchLoad struct {
	n, callers, batch int
	// mode is of a bench that asks a validation node, node is where it is.
	mode string
	node bench.OCSPNode
}

type measure func(context.Context, *bench.Stage, benchLoad) (bench.Result, error)

// benchOptions are the flags of every bench.
type benchOptions struct {
	ledger           databaseFlag
	dir              string
	shards           int32
	json             bool
	module, label    string
	pinFile, profile string
	cpuProfile       string
}

func benchCommand() *cobra.Command {
	o := &benchOptions{}
	cmd := &cobra.Command{Use: "bench", Short: "Measure what this installation can do",
		Long: `Measure what this installation can do, on a real ledger and a real device,
beside the raw cost of SM2 in the same run. Rates depend on the machine; ratios
hold everywhere. The bench has a CA of its own, so that nobody's certificates are
touched; on a ledger it takes over, so give it one of its own.`,
		Example: `  terrace bench issue --dir /tmp/bench -n 20000
  terrace bench revoke --dir /tmp/bench -n 1000 && terrace bench crl --dir /tmp/bench
  terrace bench ocsp --dir /tmp/bench && terrace bench ocsp --dir /tmp/bench --mode live -n 20000
  terrace bench issue --ledger postgresql:///bench --dir /tmp/bench --json`}
	f := cmd.PersistentFlags()
	f.StringVar(&o.dir, "dir", "", "folder of the bench: keystore, root, and the ledger unless --ledger names one")
	o.ledger.add(f, "ledger", "TERRACE_BENCH_LEDGER", "the ledger; default: SQLite in --dir")
	f.Int32Var(&o.shards, "shards", 1, "shards of the CA's revocation lists")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile of the measurement, for go tool pprof")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	f.StringVar(&o.module, "pkcs11-module", "", "PKCS#11 module to sign with; default: a software keystore in --dir")
	f.StringVar(&o.label, "token-label", "", "label of its token")
	f.StringVar(&o.pinFile, "pin-file", "", "file with its PIN")
	f.StringVar(&o.profile, "mechanism-profile", "Sansec", "its mechanism profile")
	add := func(use, short string, load benchLoad, run measure) {
		c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, load, run) }}
		if load.n > 0 {
			c.Flags().IntVarP(&load.n, "operations", "n", load.n, "operations")
			c.Flags().IntVar(&load.callers, "callers", load.callers, "callers at once")
		}
		if load.batch > 0 {
			c.Flags().IntVar(&load.batch, "batch", load.batch, "certificates that a caller asks for at once, 1 to 256")
		}
		if load.mode != "" {
			c.Flags().StringVar(&load.mode, "mode", load.mode, "cached: signed before; live: signed for the first time; nonce: with a nonce each; revoked: until a revocation shows")
		}
		cmd.AddCommand(c)
	}
	add("issue", "Issue certificates", benchLoad{n: 10000, callers: 4, batch: 256}, func(ctx context.Context, s *bench.Stage, l benchLoad) (bench.Result, error) {
		raw, err := bench.MeasureRaw()
		if err != nil {
			return bench.Result{}, err
		}
		if o.module != "" {
			if err := s.MeasureDevice(ctx, &raw); err != nil {
				return bench.Result{}, err
			}
		}
		return s.Issue(ctx, l.n, l.batch, l.callers, raw)
	})
	add("lookup", "Read the status of certificates by serial number", benchLoad{n: 100000, callers: 8}, func(ctx context.Context, s *bench.Stage, l benchLoad) (bench.Result, error) {
		return s.Lookup(ctx, l.n, l.callers)
	})
	add("revoke", "Revoke certificates", benchLoad{n: 1000, callers: 8}, func(ctx context.Context, s *bench.Stage, l benchLoad) (bench.Result, error) {
		return s.Revoke(ctx, l.n, l.callers)
	})
	deltas := false
	lists := &cobra.Command{Use: "crl", Short: "Sign the revocation list of every shard", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, benchLoad{}, func(ctx context.Context, s *bench.Stage, _ benchLoad) (bench.Result, error) {
				return s.CRL(ctx, deltas)
			})
		}}
	lists.Flags().BoolVar(&deltas, "deltas", false, "sign deltas of what changed since the lists that are there")
	cmd.AddCommand(lists)
	prefill := benchLoad{n: 1000000}
	revoked := int64(0)
	fill := &cobra.Command{Use: "prefill", Short: "Fill the ledger of a bench with certificates that nobody signed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd, prefill, func(ctx context.Context, s *bench.Stage, l benchLoad) (bench.Result, error) {
				return s.Prefill(ctx, int64(l.n), revoked, func(done int64) { fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d\n", done, l.n) })
			})
		}}
	fill.Flags().IntVarP(&prefill.n, "operations", "n", prefill.n, "certificates")
	fill.Flags().Int64Var(&revoked, "revoked", 0, "how many of them are revoked")
	cmd.AddCommand(fill)
	add("ocsp", "Ask a validation node, over HTTP in this process", benchLoad{n: 100000, callers: 16, mode: string(bench.OCSPCached)}, func(ctx context.Context, s *bench.Stage, l benchLoad) (bench.Result, error) {
		return s.OCSP(ctx, l.node, bench.OCSPMode(l.mode), l.n, l.callers)
	})
	cmd.AddCommand(benchDirectoryCommand(o))
	return cmd
}

func (o *benchOptions) run(cmd *cobra.Command, load benchLoad, measure measure) (err error) {
	if o.dir == "" {
		return errors.New("--dir: required, a folder for the bench")
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	c := app.BenchConfig{LocalDevice: app.LocalDevice{PKCS11Module: o.module, TokenLabel: o.label, PINFile: o.pinFile, MechanismProfile: o.profile}}
	if c.LedgerDSN, err = o.ledger.read(); err != nil {
		return err
	}
	if c.LedgerDSN == "" {
		c.LedgerDSN = "sqlite:" + filepath.Join(o.dir, "ledger.db")
	}
	if o.module == "" {
		c.KeystoreDir = filepath.Join(o.dir, "keystore")
		c.PasswordFile = filepath.Join(o.dir, "keystore-password")
	}
	var stage *bench.Stage
	var closeAll func() error
	if root := filepath.Join(o.dir, "root"); load.mode == "" {
		stage, closeAll, err = app.OpenBench(cmd.Context(), c, root, o.shards)
	} else {
		stage, load.node, closeAll, err = app.OpenBenchNode(cmd.Context(), c, root, o.shards, filepath.Join(o.dir, "replica.db"))
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	if o.cpuProfile != "" {
		f, err := os.Create(o.cpuProfile)
		if err != nil {
			return fmt.Errorf("--cpuprofile: %w", err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return errors.Join(fmt.Errorf("--cpuprofile: %w", err), f.Close())
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, f.Close())
		}()
	}
	r, err := measure(cmd.Context(), stage, load)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), r)
	return err
}
