package main

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/publishing"
	"github.com/terrace-pki/terrace/internal/pushing"
)

func directoryCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "directory", Short: "Carry directories by files"}
	cmd.AddCommand(directoryExportCommand(), directoryImportCommand(), directoryLoadCommand(), directorySeedCommand())
	return cmd
}

// directoryServer is the server of a command.
type directoryServer struct{ url, bindDN, passwordFile, caFile string }

func (d *directoryServer) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.url, "url", "", "ldaps://host[:port]")
	f.StringVar(&d.bindDN, "bind-dn", "", "DN of the account")
	f.StringVar(&d.passwordFile, "password-file", "", "file that holds its password")
	f.StringVar(&d.caFile, "ca-file", "/etc/terrace/transport/ca.crt", "PEM certificates that the server is verified against")
	require(cmd, "url", "bind-dn", "password-file")
}

func require(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := cmd.MarkFlagRequired(f); err != nil {
			panic(err) // the flag is not there
		}
	}
}

func (d *directoryServer) open(withLog bool) (publishing.Connection, error) {
	return app.OpenDirectory(d.url, d.bindDN, d.passwordFile, d.caFile, withLog)
}

func directoryExportCommand() *cobra.Command {
	var server directoryServer
	var key string
	c := pushing.ExportConfig{Now: time.Now}
	cmd := &cobra.Command{Use: "export", Args: cobra.NoArgs, Short: "Write a signed set of a master's changes",
		Long: `Write what changed on a master since the last export as a signed LDIF file, for a
gap that lets data through one way only. The first file is complete.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			k, err := link.LoadKey(key)
			if err != nil {
				return fmt.Errorf("--message-key: %w", err)
			}
			master, err := server.open(true)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, master.Close()) }()
			c.Master, c.Signer = master, k.Signer()
			path, n, err := pushing.Export(cmd.Context(), c)
			if err != nil {
				return err
			}
			if path == "" {
				path = "nothing changed"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d records\n", path, n)
			return err
		}}
	server.add(cmd)
	f := cmd.Flags()
	f.StringVar(&c.Directory, "directory", "", "namespace/name of the Directory")
	f.StringVar(&c.Base, "base", "", "its spec.baseDN")
	f.StringVar(&c.StateFile, "state", "", "file that remembers the last export")
	f.StringVar(&c.Dir, "out", "", "folder of the sets")
	f.StringVar(&key, "message-key", "/etc/terrace/message/key.pem", "file with the SM2 key that signs the sets")
	f.BoolVar(&c.Complete, "complete", false, "write a complete set, for a slave that lost its place")
	require(cmd, "directory", "base", "state", "out")
	return cmd
}

func directoryImportCommand() *cobra.Command {
	var server directoryServer
	var publicKey, peers, peer string
	var c pushing.ImportConfig
	cmd := &cobra.Command{Use: "import FILE...", Args: cobra.RangeArgs(1, pushing.MaxImport), Short: "Apply signed sets to a slave",
		Long: `Verify signed sets and apply those that the slave does not have yet. A set is
refused as a whole when its signature does not verify or a set before it is missing.`,
		RunE: func(cmd *cobra.Command, files []string) (err error) {
			if c.Key, err = exporterKey(publicKey, peers, peer); err != nil {
				return err
			}
			slave, err := server.open(false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, slave.Close()) }()
			c.Slave = slave
			sets, entries, err := pushing.Import(cmd.Context(), c, files)
			if _, told := fmt.Fprintf(cmd.OutOrStdout(), "%d sets applied, %d entries changed\n", sets, entries); told != nil {
				err = errors.Join(err, told)
			}
			return err
		}}
	server.add(cmd)
	f := cmd.Flags()
	f.StringVar(&c.Directory, "directory", "", "namespace/name of the Directory")
	f.StringVar(&c.StateFile, "state", "", "file that remembers the last import")
	f.StringVar(&publicKey, "public-key", "", "PEM file with the exporter's public key")
	f.StringVar(&peers, "peers", "", "peers file that has it, with --peer, in place of --public-key")
	f.StringVar(&peer, "peer", "", "the exporter's name in --peers")
	require(cmd, "directory", "state")
	return cmd
}

func exporterKey(file, peers, name string) (*ecdsa.PublicKey, error) {
	switch {
	case (file == "") == (peers == ""):
		return nil, errors.New("give --public-key, or --peers with --peer")
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--public-key: %w", err)
		}
		key, err := pki.ParsePublicKeyPEM(b)
		if err != nil {
			return nil, fmt.Errorf("--public-key: %w", err)
		}
		return key, nil
	}
	all, err := link.OpenPeers(peers)
	if err != nil {
		return nil, fmt.Errorf("--peers: %w", err)
	}
	p, ok := all.Peer(name)
	if !ok {
		return nil, fmt.Errorf("--peer: %q is not in --peers", name)
	}
	return p.PublicKey, nil
}

func directoryLoadCommand() *cobra.Command {
	var server directoryServer
	var base, out string
	cmd := &cobra.Command{Use: "load", Args: cobra.NoArgs, Short: "Write all of a master as LDIF for slapadd",
		Long: `Write all that a master holds as LDIF, to load a new slave with slapadd: of a large
directory that takes minutes where a push takes hours. The pusher then brings
what changed since.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			master, err := server.open(false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, master.Close()) }()
			return writeLDIF(cmd, out, func(w io.Writer) (int64, error) {
				return directory.WriteLDIF(cmd.Context(), w, pushing.Load(master, base))
			})
		}}
	server.add(cmd)
	cmd.Flags().StringVar(&base, "base", "", "spec.baseDN of the Directory")
	cmd.Flags().StringVar(&out, "out", "", "file to be written")
	require(cmd, "base", "out")
	return cmd
}

func directorySeedCommand() *cobra.Command {
	var ledger databaseFlag
	var id, out string
	cmd := &cobra.Command{Use: "seed", Args: cobra.NoArgs, Short: "Write all that the ledger says as LDIF for a new master",
		Long: `Write all that a directory is to hold by the ledger as LDIF, to load a new master
with slapadd. It runs where terrace ca runs and only reads the ledger; terrace ca
then brings what changed since.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := ledger.read()
			if err != nil {
				return err
			}
			return writeLDIF(cmd, out, func(w io.Writer) (int64, error) { return app.SeedDirectory(cmd.Context(), name, id, w) })
		}}
	ledger.add(cmd.Flags(), "ledger", "TERRACE_LEDGER", "the ledger")
	cmd.Flags().StringVar(&id, "directory", "", "namespace/name of the Directory")
	cmd.Flags().StringVar(&out, "out", "", "file to be written")
	require(cmd, "directory", "out")
	return cmd
}

// writeLDIF gives the file its name once it is whole, and tells how much is in it.
func writeLDIF(cmd *cobra.Command, path string, write func(io.Writer) (int64, error)) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	n, err := write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d entries\n", path, n)
	return err
}
