package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/terrace-pki/terrace/internal/app"
)

func runCommand() *cobra.Command {
	var c app.Config
	var kubeconfig, kubecontext, ledgerFile string
	cmd := &cobra.Command{Use: "run", Args: cobra.NoArgs, Short: "Run every controller and service in one process",
		Long: `Run every controller and service in one process.

The ledger is given by --ledger, by the file of --ledger-file, or by the
environment variable TERRACE_LEDGER: sqlite:<path>, or a PostgreSQL URL.

One process runs for each ledger. A second one takes the ledger over, and the
first then stops: what it had begun is closed as abandoned, never signed twice.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := readLedger(&c, ledgerFile); err != nil {
				return err
			}
			if err := c.Validate(); err != nil { // before the API server is looked for
				return err
			}
			rules := clientcmd.NewDefaultClientConfigLoadingRules()
			rules.ExplicitPath = kubeconfig
			kube, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubecontext}).ClientConfig()
			if err != nil {
				return fmt.Errorf("read kubeconfig: %w", err)
			}
			log := zap.New()
			ctrllog.SetLogger(log)
			ctrl.SetLogger(log)
			return app.Run(cmd.Context(), kube, c, log)
		}}
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file; default: as kubectl, or the ServiceAccount in a cluster")
	f.StringVar(&kubecontext, "context", "", "context of the kubeconfig")
	ledgerFlags(cmd, &c, &ledgerFile)
	f.StringVar(&c.KeystoreDir, "keystore-dir", "", "folder of software keystores; empty: none are allowed")
	f.StringArrayVar(&c.PKCS11Modules, "pkcs11-module", nil, "absolute path of a PKCS#11 module that CryptoDevices may name; may be repeated")
	f.StringVar(&c.ValidationAddress, "validation-address", ":8080", "address of OCSP, CRLs and CA certificates")
	f.StringVar(&c.MetricsAddress, "metrics-address", ":8081", "address of the metrics; empty: off")
	f.StringVar(&c.HealthAddress, "health-address", ":8082", "address of /healthz and /readyz; empty: off")
	f.StringVar(&c.WebhookAddress, "webhook-address", ":9443", "address of the admission webhooks; empty: off")
	f.StringVar(&c.WebhookCertDir, "webhook-cert-dir", "/etc/terrace/webhook", "folder with tls.crt and tls.key of the webhook server")
	return cmd
}

// ledgerFlags adds the flags that name the ledger.
func ledgerFlags(cmd *cobra.Command, c *app.Config, file *string) {
	cmd.Flags().StringVar(&c.LedgerDSN, "ledger", "", "sqlite:<path>, or a PostgreSQL URL without a password")
	cmd.Flags().StringVar(file, "ledger-file", "", "file that holds what --ledger would say")
}

func readLedger(c *app.Config, file string) error {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--ledger-file: %w", err)
		}
		c.LedgerDSN = strings.TrimSpace(string(b))
	}
	if c.LedgerDSN == "" {
		c.LedgerDSN = os.Getenv("TERRACE_LEDGER")
	}
	return nil
}
