// Command terrace-standalone is Terrace on one machine without a cluster: the
// Kubernetes API server with its etcd, in one process. All state is in one
// directory, from which a later start carries on.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/terrace-pki/terrace/standalone/lifeline"
)

func main() {
	var o options
	flag.StringVar(&o.dataDir, "data-dir", ".terrace", "directory of all state, kept between runs")
	flag.StringVar(&o.address, "address", "127.0.0.1", "IP address to serve on")
	flag.StringVar(&o.cluster, "cluster", "", "kubeconfig context of a cluster to use in place of the API server in this process")
	flag.StringVar(&o.configDir, "config-dir", "config", "the project's config folder")
	flag.Func("pkcs11-module", "absolute path of a further PKCS#11 module that CryptoDevices may name; may be repeated", appendTo(&o.modules))
	flag.Func("sdf-library", "absolute path of an SDF library that CryptoDevices may name; may be repeated", appendTo(&o.libraries))
	untilStdinCloses := flag.Bool("until-stdin-closes", false,
		"stop also when standard input ends, so that a parent that was killed leaves nothing behind")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "terrace-standalone: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *untilStdinCloses {
		var cancel context.CancelFunc
		ctx, cancel = lifeline.Context(ctx, os.Stdin)
		defer cancel()
	}
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	work := run
	if o.cluster != "" {
		work = runOnCluster
	}
	if err := work(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "terrace-standalone:", err)
		os.Exit(1)
	}
}

// appendTo returns the setter of a flag that may be repeated.
func appendTo(values *[]string) func(string) error {
	return func(value string) error {
		*values = append(*values, value)
		return nil
	}
}
