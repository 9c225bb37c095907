package main

import (
	"context"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/terrace-pki/terrace/internal/app"
)

func managerCommand() *cobra.Command {
	var c app.ManagerConfig
	var processes []string
	return apiCommand(&cobra.Command{Use: "manager", Short: "Run admission and the tiers' health (management zone, 管理区)",
		Long: `Run admission and the tiers' health (management zone, 管理区).

It has neither a database nor a key. Several may run: all answer the API
server's webhooks, and with --leader-elect one of them runs the controllers.`},
		func(cmd *cobra.Command) {
			processFlags(cmd.Flags(), &c.Process)
			webhookFlags(cmd.Flags(), &c.Webhooks)
			electionFlags(cmd.Flags(), &c.Election)
			cmd.Flags().StringVar(&c.Transport.Namespace, "transport-namespace", "terrace-system", "namespace of the Secret that holds the transport CA")
			cmd.Flags().StringArrayVar(&processes, "transport-process", nil,
				"NAMESPACE/NAME=host[,host...]: keep a transport certificate for a process in Secret NAME-transport; may be repeated")
		},
		func() (err error) {
			if c.Transport.Processes, err = transportProcesses(processes); err != nil {
				return err
			}
			return c.Validate()
		},
		func(ctx context.Context, kube *rest.Config, log logr.Logger) error {
			return app.RunManager(ctx, kube, c, log)
		})
}

func caCommand() *cobra.Command {
	var c app.CAConfig
	var ledger databaseFlag
	return apiCommand(&cobra.Command{Use: "ca", Short: "Run the certificate authorities (core zone, 核心区)",
		Long: `Run the certificate authorities (core zone, 核心区): keys, ledger, CRLs, the
link for registration authorities, and the pushes to the LDAP master and to
validation nodes. It dials out; only registration authorities dial in.

A second process on the same ledger takes it over, and the first then stops:
what it had begun is closed as abandoned, never signed twice. Several processes
share a PostgreSQL ledger when each has its own --instance: all of them issue,
the first also runs controllers, lists and pushes, and another one takes over 20
seconds after one fell silent.

--limits, --peers, --pkcs11-module and --message-key are files and flags of this
host: whoever owns the cluster cannot widen what the CAs sign.`},
		func(cmd *cobra.Command) {
			f := cmd.Flags()
			processFlags(f, &c.Process)
			coreFlags(f, &c.Core, &ledger)
			linkFlags(f, &c.Links, "ca")
			f.StringVar(&c.BindPasswordDir, "bind-password-dir", "", "folder of LDAP passwords for when the API server is away: files <namespace>_<secret>_<key>")
			f.StringVar(&c.LinkAddress, "link-address", ":9444", "address where registration authorities call")
		},
		func() (err error) {
			if c.LedgerDSN, err = ledger.read(); err != nil {
				return err
			}
			return c.Validate()
		},
		func(ctx context.Context, kube *rest.Config, log logr.Logger) error {
			return app.RunCA(ctx, kube, c, log)
		})
}

func raCommand() *cobra.Command {
	var c app.RAConfig
	var store databaseFlag
	return apiCommand(&cobra.Command{Use: "ra", Short: "Run the registration authorities (service zone, 服务区)",
		Long: `Run the registration authorities (service zone, 服务区): they judge requests,
count approvals, and ask the CA by signed messages. They hold no CA key, and
have no right to read a device's PIN.`},
		func(cmd *cobra.Command) {
			f := cmd.Flags()
			processFlags(f, &c.Process)
			linkFlags(f, &c.Links, "ra")
			electionFlags(f, &c.Election)
			store.add(f, "registration-store", "TERRACE_REGISTRATION_STORE", "the registration authorities' database")
			f.StringVar(&c.CAURL, "ca-url", "", "https://host:port of the CA's link")
			f.StringVar(&c.CAName, "ca-name", "ca", "name of the CA in its transport certificate and in --peers")
		},
		func() (err error) {
			if c.RegistrationDSN, err = store.read(); err != nil {
				return err
			}
			return c.Validate()
		},
		func(ctx context.Context, kube *rest.Config, log logr.Logger) error {
			return app.RunRA(ctx, kube, c, log)
		})
}
