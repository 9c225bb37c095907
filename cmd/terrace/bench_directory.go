package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/bench"
)

func benchDirectoryCommand(o *benchOptions) *cobra.Command {
	var n, batch int
	cmd := &cobra.Command{Use: "directory", Args: cobra.NoArgs, Short: "Publish in a directory, push it to a slave, and compare the two",
		Long: `Publish certificates in an LDAP master, push them to a slave, and compare the two,
on two slapd of the bench's own on this machine, beside what slapd takes of plain
adds and reads in the same run. No ledger and no device is used. One result for
each of the three; with --json one on each line.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.dir == "" {
				return errors.New("--dir: required, a folder for the bench")
			}
			servers, closeAll, err := app.OpenBenchDirectory(cmd.Context(), filepath.Join(o.dir, "directory"))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeAll()) }()
			results, err := bench.Directory(cmd.Context(), servers, n, batch)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, r := range results {
				if o.json {
					err = errors.Join(err, json.NewEncoder(out).Encode(r))
					continue
				}
				_, told := fmt.Fprintln(out, r)
				err = errors.Join(err, told)
			}
			return err
		}}
	cmd.Flags().IntVarP(&n, "operations", "n", 5000, "certificates")
	cmd.Flags().IntVar(&batch, "batch", 500, "certificates that are published and pushed together; the ledger's feed has pages of 500")
	return cmd
}
