package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/recovery"
)

// reconcileSources are the flags that name sources.
type reconcileSources struct {
	kube                                kubeFlags
	api                                 bool
	directory                           directoryServer
	base                                string
	ldif, replicas, lists, certificates []string
	without                             []string
}

func (s *reconcileSources) add(cmd *cobra.Command) {
	f := cmd.Flags()
	s.kube.bind(cmd)
	f.BoolVar(&s.api, "api", false, "read the status of all requests, CAs and revocations from the API server")
	f.StringVar(&s.directory.url, "directory-url", "", "ldaps://host[:port] of an LDAP master or slave")
	f.StringVar(&s.base, "base", "", "its base DN")
	f.StringVar(&s.directory.bindDN, "bind-dn", "", "DN of the account")
	f.StringVar(&s.directory.passwordFile, "password-file", "", "file that holds its password")
	f.StringVar(&s.directory.caFile, "ca-file", "/etc/terrace/transport/ca.crt", "PEM certificates that the server is verified against")
	f.StringArrayVar(&s.ldif, "ldif", nil, "LDIF file of a directory, as terrace directory load writes it; may be repeated")
	f.StringArrayVar(&s.replicas, "replica", nil, "file of a validation node's replica, or a copy; may be repeated")
	f.StringArrayVar(&s.lists, "crl", nil, "CRL that a validation node or a user has, DER or PEM; may be repeated")
	f.StringArrayVar(&s.certificates, "certificates", nil, "file of PEM certificates; may be repeated")
	f.StringArrayVar(&s.without, "without", nil, "go without a sort of source: api, directory or validation; may be repeated")
}

// open returns the sources in the order in which they tell most: objects have
// the identities, directories the certificates, validation nodes the states.
func (s *reconcileSources) open() (sources []recovery.Source, closeAll func() error, err error) {
	closeAll = func() error { return nil }
	if err := without(map[string]bool{"api": s.api, "directory": s.directory.url != "" || len(s.ldif) > 0,
		"validation": len(s.replicas) > 0 || len(s.lists) > 0}, s.without); err != nil {
		return nil, closeAll, err
	}
	if s.api {
		session, err := s.kube.connect()
		if err != nil {
			return nil, closeAll, err
		}
		sources = append(sources, app.APISource{Client: session.Client})
	}
	for _, path := range s.certificates {
		sources = append(sources, recovery.Certificates{Path: path})
	}
	if s.directory.url != "" {
		if s.base == "" || s.directory.bindDN == "" || s.directory.passwordFile == "" {
			return nil, closeAll, errors.New("--directory-url needs --base, --bind-dn and --password-file")
		}
		server, err := s.directory.open(false)
		if err != nil {
			return nil, closeAll, err
		}
		closeAll = server.Close
		sources = append(sources, recovery.Directory{Server: server, URL: s.directory.url, Base: s.base})
	}
	for _, path := range s.ldif {
		sources = append(sources, recovery.LDIF{Path: path})
	}
	for _, path := range s.replicas {
		sources = append(sources, app.ReplicaSource{Path: path})
	}
	for _, path := range s.lists {
		sources = append(sources, recovery.List{Path: path})
	}
	return sources, closeAll, nil
}

func reconcileCommand() *cobra.Command {
	var s reconcileSources
	var dry bool
	cmd := onLedger(&cobra.Command{Use: "reconcile", Short: "Bring a restored ledger up to what others know, and let it issue again",
		Long: `Read what the API server, directories and validation nodes know, report and import
the certificates and revocations that a restored ledger forgot, and let terrace ca
use the ledger again. Certificates and lists are believed when they verify under
the key of a CA of the ledger; a replica's file is believed as it is.

A certificate whose request is not known comes in under the kind Recovered: its
request would be issued anew, so read the API server first, before old manifests
are applied. Every sort of source is given, or gone without by --without.

Run it again as often as you like: what was imported is known then. With --dry-run
nothing is written. On PostgreSQL it runs beside terrace ca; with SQLite, stop
terrace ca first, or it will be stopped.`},
		func(cmd *cobra.Command, ledger string, print func(any, string) error) (err error) {
			sources, closeAll, err := s.open()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeAll()) }()
			asJSON, err := cmd.Flags().GetBool("json")
			if err != nil {
				return err
			}
			report, err := app.ReconcileLedger(cmd.Context(), ledger, recovery.Config{Sources: sources, Dry: dry, Without: s.without,
				Tell: tellItem(cmd.OutOrStdout(), asJSON)})
			if err != nil {
				return err
			}
			return print(report, summary(report, dry))
		})
	s.add(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "report only")
	return cmd
}

func summary(r recovery.Report, dry bool) string {
	verb, end := "imported", "the ledger may be used again"
	if dry {
		verb, end = "missing", "nothing was written"
	}
	return fmt.Sprintf("%d read; %s: %d certificates, %d serials without content, %d revocations, %d acts; %d by other CAs; %d problems: %s",
		r.Read, verb, r.Certificates, r.Serials, r.Revocations, r.Acts, r.Foreign, r.Problems, end)
}

// tellItem prints one item a line.
func tellItem(w io.Writer, asJSON bool) func(recovery.Item) {
	encoder := json.NewEncoder(w)
	return func(i recovery.Item) {
		if asJSON {
			_ = encoder.Encode(i) // the summary at the end fails as well
			return
		}
		fields := []string{i.What}
		for _, f := range []string{i.Serial, i.Identity, i.Issuer, i.Revoked, i.Note} {
			if f != "" {
				fields = append(fields, f)
			}
		}
		_, _ = fmt.Fprintf(w, "%s (%s)\n", strings.Join(fields, "  "), i.Source)
	}
}
