// Command terrace runs the certificate authentication system of LD/T 02.1-2022
// from what a Kubernetes API declares. Under the name kubectl-terrace it is the
// kubectl plugin.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := command(filepath.Base(os.Args[0]))
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "terrace:", err)
		stop()
		os.Exit(exitCode(err))
	}
}

// command returns the command tree of a program name.
func command(name string) *cobra.Command {
	root := &cobra.Command{Use: "terrace", Short: "Certificate authentication system of LD/T 02.1-2022, declared in a Kubernetes API",
		SilenceUsage: true, SilenceErrors: true}
	if name == "kubectl-terrace" {
		root.Use, root.Short = "kubectl-terrace", "Look into the tiers of Terrace, and decide about requests"
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl terrace"}
		root.AddCommand(approveCommand(), denyCommand(), explainCommand(), inspectCommand(), lintCommand(), treeCommand())
		return root
	}
	ca := caCommand()
	ca.AddCommand(caLedgerCommands()...)
	root.AddCommand(runCommand(), managerCommand(), ca, raCommand(), validationCommand(), pusherCommand(), directoryCommand(), trustListCommand(), transportCommand(), messageKeyCommand(), auditCommand(), benchCommand(), deviceCommand(), devCommand(), inspectCommand(), lintCommand(), ledgerCommand())
	return root
}
