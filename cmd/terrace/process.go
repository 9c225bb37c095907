package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/terrace-pki/terrace/internal/app"
)

// apiCommand completes the command of a process that uses the API server:
// check reads and judges the flags before the API server is looked for.
func apiCommand(cmd *cobra.Command, flags func(*cobra.Command), check func() error, run func(context.Context, *rest.Config, logr.Logger) error) *cobra.Command {
	var kubeconfig, kubecontext string
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := check(); err != nil {
			return err
		}
		rules := clientcmd.NewDefaultClientConfigLoadingRules()
		rules.ExplicitPath = kubeconfig
		kube, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubecontext}).ClientConfig()
		if err != nil {
			return fmt.Errorf("read kubeconfig: %w", err)
		}
		return run(cmd.Context(), kube, newLog())
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file; default: as kubectl, or the ServiceAccount in a cluster")
	cmd.Flags().StringVar(&kubecontext, "context", "", "context of the kubeconfig")
	flags(cmd)
	return cmd
}

// newLog is the JSON log of a process, also of the libraries that it uses.
func newLog() logr.Logger {
	log := zap.New()
	ctrllog.SetLogger(log)
	ctrl.SetLogger(log)
	return log
}

func processFlags(f *pflag.FlagSet, p *app.Process) {
	f.StringVar(&p.MetricsAddress, "metrics-address", ":8081", "address of the metrics; empty: off")
	f.StringVar(&p.HealthAddress, "health-address", ":8082", "address of /healthz and /readyz; empty: off")
}

func coreFlags(f *pflag.FlagSet, c *app.Core, ledger *databaseFlag) {
	ledger.add(f, "ledger", "TERRACE_LEDGER", "the ledger")
	f.StringVar(&c.Instance, "instance", "ca", "name of this process among those that share a PostgreSQL ledger; the next of the name takes over from it at once")
	f.StringVar(&c.KeystoreDir, "keystore-dir", "", "folder of software keystores; empty: none are allowed")
	f.StringArrayVar(&c.PKCS11Modules, "pkcs11-module", nil, "absolute path of a PKCS#11 module that CryptoDevices may name; may be repeated")
	f.StringArrayVar(&c.SDFLibraries, "sdf-library", nil, "absolute path of an SDF library that CryptoDevices may name; may be repeated")
	f.StringVar(&c.LimitsFile, "limits", "", "file that bounds what the CAs may issue, whatever the API says")
	f.StringVar(&c.AuditDevice, "audit-device", "", "namespace/name of the CryptoDevice whose key signs the audit log's checkpoints")
	f.StringArrayVar(&c.TierNamespaces, "tier-namespace", nil, "namespace whose Secrets are read; may be repeated; default: every one")
}

func webhookFlags(f *pflag.FlagSet, w *app.Webhooks) {
	f.StringVar(&w.WebhookAddress, "webhook-address", ":9443", "address of the admission webhooks; empty: off")
	f.StringVar(&w.WebhookCertDir, "webhook-cert-dir", "/etc/terrace/webhook", "folder with tls.crt and tls.key of the webhook server")
}

func linkFlags(f *pflag.FlagSet, l *app.Links, name string) {
	f.StringVar(&l.Name, "name", name, "name of this process in its transport certificate and in the peers files of the others")
	f.StringVar(&l.TransportDir, "transport-dir", "/etc/terrace/transport", "folder with tls.crt, tls.key and ca.crt of the transport CA")
	f.StringVar(&l.MessageKeyFile, "message-key", "/etc/terrace/message/key.pem", "file with the SM2 key that signs this process's messages")
	f.StringVar(&l.PeersFile, "peers", "/etc/terrace/peers.yaml", "file that says whose messages are believed, and for what")
}

func electionFlags(f *pflag.FlagSet, e *app.Election) {
	f.BoolVar(&e.LeaderElect, "leader-elect", false, "elect one of several processes to run the controllers")
	f.StringVar(&e.ElectionNamespace, "election-namespace", os.Getenv("POD_NAMESPACE"), "namespace of the Lease; default: POD_NAMESPACE of the environment")
}

// databaseFlag names a database by a flag, a file, or the environment.
type databaseFlag struct {
	env, flag   string
	value, file string
}

func (d *databaseFlag) add(f *pflag.FlagSet, name, env, what string) {
	d.env, d.flag = env, name
	f.StringVar(&d.value, name, "", what+": sqlite:<path>, or a PostgreSQL URL without a password")
	f.StringVar(&d.file, name+"-file", "", "file that holds what --"+name+" would say; or set "+env)
}

func (d *databaseFlag) read() (string, error) {
	switch {
	case d.file != "":
		b, err := os.ReadFile(d.file)
		if err != nil {
			return "", fmt.Errorf("--%s-file: %w", d.flag, err)
		}
		return strings.TrimSpace(string(b)), nil
	case d.value != "":
		return d.value, nil
	}
	return os.Getenv(d.env), nil
}
