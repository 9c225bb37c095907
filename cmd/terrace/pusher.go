package main

import (
	"context"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/terrace-pki/terrace/internal/app"
)

func pusherCommand() *cobra.Command {
	var c app.PusherConfig
	return apiCommand(&cobra.Command{Use: "pusher", Short: "Push directories to their slaves (service zone, 服务区)",
		Long: `Push what LDAP masters hold to their slaves (service zone, 服务区). It stands
beside the master; slaves never connect to it or to the master.

It keeps the accepted Directories in --state-dir, and goes on from there when the
API server is away, also after a restart if --bind-password-dir has the passwords.`},
		func(cmd *cobra.Command) {
			f := cmd.Flags()
			processFlags(f, &c.Process)
			f.StringVar(&c.Name, "name", "pusher", "name of this process")
			f.StringVar(&c.StateDir, "state-dir", "", "folder of the accepted Directories, and of how far each slave is")
			f.StringVar(&c.TransportDir, "transport-dir", "/etc/terrace/transport", "folder whose ca.crt verifies servers without a caBundle")
			f.StringVar(&c.BindPasswordDir, "bind-password-dir", "", "folder with files <namespace>_<secret>_<key>: passwords for when the API server is away")
		},
		func() error { return c.Validate() }, // c is filled by then
		func(ctx context.Context, kube *rest.Config, log logr.Logger) error {
			return app.RunPusher(ctx, kube, c, log)
		})
}
