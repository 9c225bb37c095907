// Package controlplanetest runs control planes for tests: in the test's own
// process, or in a child that can be killed.
package controlplanetest

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/terrace-pki/terrace/standalone/controlplane"
	"github.com/terrace-pki/terrace/standalone/lifeline"
)

// ReadyPrefix starts the line that Serve prints when the API server is ready;
// the rest of the line is the path of the kubeconfig.
const ReadyPrefix = "KUBECONFIG="

// admin is the context of the kubeconfig that Serve writes.
var admin = controlplane.Context{
	Name:   "admin",
	User:   "terrace-test-admin",
	Groups: []string{controlplane.MastersGroup},
}

// Serve runs a control plane until ctx ends or stdin is closed, and stops it.
// When it is ready, one line on stdout says where the kubeconfig is, a file in
// the data directory whose only user may do everything.
func Serve(ctx context.Context, cfg controlplane.Config, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := lifeline.Context(ctx, stdin)
	defer cancel()
	cp, err := controlplane.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer cp.Stop()
	kubeconfig, err := filepath.Abs(filepath.Join(cfg.DataDir, "kubeconfig"))
	if err != nil {
		return err
	}
	if err := cp.WriteKubeconfig(kubeconfig, []controlplane.Context{admin}); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(stdout, ReadyPrefix+kubeconfig); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-cp.Failed():
		return err
	}
}

// kubeconfigPath returns the path in a line that Serve printed.
func kubeconfigPath(line string) (string, bool) {
	return strings.CutPrefix(strings.TrimSpace(line), ReadyPrefix)
}
