// Command kubectl is the kubectl of the Kubernetes release that this module
// embeds. It serves machines that have no kubectl within one minor version of
// the embedded API server, which is as far apart as the two may be.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	// The verbosity counts while the command tree is built (plugins, .kuberc),
	// before cobra has parsed the flags.
	if _, err := logs.GlogSetter(cmd.GetLogVerbosity(os.Args)); err != nil {
		util.CheckErr(err)
	}
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // prints as kubectl does and ends with its exit code
	}
}
