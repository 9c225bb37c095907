package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/inventory"
)

func ledgerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ledger", Short: "Look into a CA's ledger"}
	cmd.AddCommand(ledgerCheckCommand())
	return cmd
}

func ledgerCheckCommand() *cobra.Command {
	var ledger databaseFlag
	var after string
	var asJSON bool
	cmd := &cobra.Command{Use: "check", Args: cobra.NoArgs, Short: "Lint every certificate and CRL of a ledger, and hold them against its records",
		Long: `Go through a ledger: each certificate is linted, verified under its CA, and held
against its record; each shard's current CRL is linted and held against what is
revoked. The ledger is opened for reading and not taken over, so that the process
that issues goes on. The place is told on standard error; --after goes on from
one. The exit code is 0 without errors, 1 with findings of severity error, 2 when
the ledger could not be read.`,
		Example: `  terrace ledger check --ledger sqlite:/var/lib/terrace/ledger.db
  TERRACE_LEDGER=postgresql://... terrace ledger check --json --after BusinessCA/ministry/province/g1:4711`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			name, err := ledger.read()
			if err != nil {
				return unreadable(err)
			}
			store, err := app.ReadLedger(cmd.Context(), name)
			if err != nil {
				return unreadable(err)
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			report, err := inventory.Run(cmd.Context(), inventory.Config{Ledger: store, After: after, Now: time.Now, Progress: func(p inventory.Place) {
				cmd.PrintErrf("%d certificates, %d findings; --after %s\n", p.Certificates, p.Findings, p.After)
			}})
			if err != nil {
				return unreadable(err)
			}
			if err := printReport(cmd.OutOrStdout(), report, asJSON); err != nil {
				return err
			}
			if n := report.Errors(); n > 0 {
				return exitError{exitFindings, fmt.Errorf("%d findings of severity error", n)}
			}
			return nil
		}}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return unreadable(err) })
	ledger.add(cmd.Flags(), "ledger", "TERRACE_LEDGER", "the ledger")
	cmd.Flags().StringVar(&after, "after", "", "place that an earlier check printed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReport(w io.Writer, r inventory.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	for _, c := range r.Counts {
		if _, err := fmt.Fprintf(w, "%8d  %-7s  %s\n", c.Count, c.Severity, c.Check); err != nil {
			return err
		}
		for _, e := range c.Examples {
			if _, err := fmt.Fprintf(w, "          %s\n", e); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(w, "%d CAs, %d certificates, %d CRLs with %d entries; %d errors\n", r.CAs, r.Certificates, r.CRLs, r.Entries, r.Errors())
	return err
}
