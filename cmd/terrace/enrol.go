package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/transport"
)

func transportCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "transport", Short: "Make the TLS certificates of the links between processes"}
	var dir string
	var processes []string
	ensure := &cobra.Command{Use: "ensure", Args: cobra.NoArgs, Short: "Make what is missing and renew what is due in a folder",
		Long: `Make what is missing and renew what is due in a folder: the transport CA in
DIR/transport-ca, which stays on this host, and a folder for each process with tls.crt,
tls.key and ca.crt to be copied to its host. Running it again changes nothing
until something is due; run it daily. Processes take up new files by themselves.`,
		Example: `  terrace transport ensure --dir /etc/terrace/links --process ca=ca.core.example --process ra=ra.service.example,10.1.2.3`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" || len(processes) == 0 {
				return errors.New("--dir and --process: required")
			}
			var all []transport.Process
			for _, text := range processes {
				p, err := transportProcess(text)
				if err != nil {
					return fmt.Errorf("--process %q: %w", text, err)
				}
				all = append(all, p)
			}
			changed, err := transport.EnsureFolders(dir, all, time.Now())
			if err != nil {
				return err
			}
			if !changed {
				cmd.Println("nothing is due")
				return nil
			}
			cmd.Println("written; copy the folder of each process to its host")
			return nil
		}}
	ensure.Flags().StringVar(&dir, "dir", "", "folder")
	ensure.Flags().StringArrayVar(&processes, "process", nil, "NAME=host[,host...]; may be repeated")
	cmd.AddCommand(ensure)
	return cmd
}

func messageKeyCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "message-key", Args: cobra.NoArgs, Short: "Make the SM2 key that signs a process's messages, and print its public half",
		Long: `Make the SM2 key that signs a process's messages, once, and print its public
half for the peers files of the others. The file never leaves the host.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return errors.New("--out: required")
			}
			key, err := link.EnsureKey(out)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(key.PublicPEM())
			return err
		}}
	cmd.Flags().StringVar(&out, "out", "", "file of the key")
	return cmd
}

// transportProcess reads NAME=host[,host...].
func transportProcess(text string) (transport.Process, error) {
	name, hosts, ok := strings.Cut(text, "=")
	if !ok || name == "" || hosts == "" {
		return transport.Process{}, errors.New("want NAME=host[,host...]")
	}
	p := transport.Process{Name: name, Hosts: strings.Split(hosts, ",")}
	return p, p.Validate()
}

// transportProcesses reads NAMESPACE/NAME=host[,host...].
func transportProcesses(texts []string) ([]app.TransportProcess, error) {
	var all []app.TransportProcess
	for _, text := range texts {
		namespace, rest, ok := strings.Cut(text, "/")
		if !ok || namespace == "" {
			return nil, fmt.Errorf("--transport-process %q: want NAMESPACE/NAME=host[,host...]", text)
		}
		p, err := transportProcess(rest)
		if err != nil {
			return nil, fmt.Errorf("--transport-process %q: %w", text, err)
		}
		all = append(all, app.TransportProcess{Process: p, Namespace: namespace})
	}
	return all, nil
}
