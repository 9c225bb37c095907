package main

import (
	"context"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/terrace-pki/terrace/internal/app"
)

func runCommand() *cobra.Command {
	var c app.Config
	var ledger, store databaseFlag
	return apiCommand(&cobra.Command{Use: "run", Short: "Run every controller and service in one process",
		Long: `Run every controller and service in one process: for development and small
installations. A province runs manager, ca, ra, validation and pusher apart.

One process runs for each ledger. A second one takes the ledger over, and the
first then stops: what it had begun is closed as abandoned, never signed twice.`},
		func(cmd *cobra.Command) {
			f := cmd.Flags()
			processFlags(f, &c.Process)
			coreFlags(f, &c.Core, &ledger)
			webhookFlags(f, &c.Webhooks)
			store.add(f, "registration-store", "TERRACE_REGISTRATION_STORE", "the registration authorities' database")
			f.StringVar(&c.ValidationAddress, "validation-address", ":8080", "address of OCSP, CRLs and CA certificates")
			f.StringVar(&c.DirectoryCAFile, "directory-ca-file", "", "PEM certificates that directory servers are verified against when their Directory names none")
			f.StringVar(&c.StateDir, "state-dir", "/var/lib/terrace", "folder where the push to directories keeps its state")
		},
		func() (err error) {
			if c.LedgerDSN, err = ledger.read(); err != nil {
				return err
			}
			if c.RegistrationDSN, err = store.read(); err != nil {
				return err
			}
			return c.Validate()
		},
		func(ctx context.Context, kube *rest.Config, log logr.Logger) error { return app.Run(ctx, kube, c, log) })
}
