// Command terrace-testapiserver is the API server of the main module's tests.
// It prints KUBECONFIG=<path> when it is ready, and stops when its standard
// input closes or a signal asks for it. It does not sync to disk: not for data
// that matter.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/terrace-pki/terrace/standalone/controlplane"
	"github.com/terrace-pki/terrace/standalone/controlplanetest"
)

func main() {
	dir := flag.String("dir", "", "data directory, required; created when missing")
	address := flag.String("address", "", "IP address to serve on; default 127.0.0.1")
	port := flag.Int("port", 0, "port to serve on; default: one that is free")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := controlplane.Config{DataDir: *dir, Address: *address, Port: *port, NoFsync: true}
	if err := controlplanetest.Serve(ctx, cfg, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "terrace-testapiserver:", err)
		os.Exit(1)
	}
}
