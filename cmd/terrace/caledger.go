package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/app"
)

// caLedgerCommands are what is done to a ledger beside terrace ca.
func caLedgerCommands() []*cobra.Command {
	return []*cobra.Command{backupCommand(), restoreCommand(), reconcileCommand(), archiveCommand()}
}

// onLedger has the flags of every such command. run gets the ledger's name, and what to
// print its result with: as JSON, or the text.
func onLedger(cmd *cobra.Command, run func(cmd *cobra.Command, ledger string, print func(v any, text string) error) error) *cobra.Command {
	var ledger databaseFlag
	var asJSON bool
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		name, err := ledger.read()
		if err != nil {
			return err
		}
		return run(cmd, name, func(v any, text string) error {
			if !asJSON {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), text)
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(v)
		})
	}
	ledger.add(cmd.Flags(), "ledger", "TERRACE_LEDGER", "the ledger")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// rowsTo tells of rows, at most once a second.
func rowsTo(w io.Writer) app.Progress {
	var told time.Time
	return func(table string, rows int64) {
		if now := time.Now(); now.Sub(told) >= time.Second {
			told = now
			_, _ = fmt.Fprintf(w, "%s: %d rows\n", table, rows) // for people who watch
		}
	}
}

func backupCommand() *cobra.Command {
	var out string
	cmd := onLedger(&cobra.Command{Use: "backup", Short: "Save the ledger to a file",
		Long: `Save the ledger to a new file while terrace ca runs: one consistent snapshot,
mode 0600, read again before it gets its name. A ledger holds neither private
keys nor PINs; it does hold certificates with the names in them.

Keep the SM3 that is printed apart from the file. For a loss of nothing at all,
PostgreSQL's own WAL archive is the means; see docs/ledger-backup.md.`},
		func(cmd *cobra.Command, ledger string, print func(any, string) error) error {
			saved, err := app.BackUpLedger(cmd.Context(), ledger, out, rowsTo(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			return print(saved, fmt.Sprintf("%s: %d rows, feed %d, audit %d, SM3 %s", saved.File, saved.Total(), saved.Feed, saved.Audit, saved.Digest))
		})
	cmd.Flags().StringVar(&out, "out", "", "file to be written; it must not be there")
	require(cmd, "out")
	return cmd
}

func restoreCommand() *cobra.Command {
	var in, digest string
	var dry bool
	cmd := onLedger(&cobra.Command{Use: "restore", Short: "Load a saved ledger into a new database",
		Long: `Load a saved ledger into a database that holds none: SQLite or PostgreSQL,
whichever it was saved from. The file is checked to its end first.

What came after the backup is unknown to the ledger now. So terrace ca issues,
revokes, lists and pushes nothing until "terrace ca reconcile" was run.`},
		func(cmd *cobra.Command, ledger string, print func(any, string) error) error {
			saved, err := app.RestoreLedger(cmd.Context(), ledger, in, strings.ToLower(digest), dry, rowsTo(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			what := "restored; run terrace ca reconcile next"
			if dry {
				what = "undamaged, and the database is free; nothing was written"
			}
			return print(saved, fmt.Sprintf("%s of %s: %d rows, feed %d, audit %d: %s", saved.File, saved.At.Format(time.RFC3339), saved.Total(), saved.Feed, saved.Audit, what))
		})
	cmd.Flags().StringVar(&in, "in", "", "file that terrace ca backup wrote")
	cmd.Flags().StringVar(&digest, "sm3", "", "SM3 that terrace ca backup printed; empty: not compared")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check the file and the database, and write nothing")
	require(cmd, "in")
	return cmd
}

func archiveCommand() *cobra.Command {
	var out, age string
	cmd := onLedger(&cobra.Command{Use: "archive", Short: "Move the content of certificates that expired long ago to a file",
		Long: `Write the certificates that expired longer ago than --older-than to a new PEM file
and drop their content from the ledger, at most a million in one run. Serials,
identities and revocations stay, so that no serial or name is used again and
every status is answered as before.

On PostgreSQL it runs beside terrace ca. A SQLite ledger has one process: stop
terrace ca first, or it will be stopped.`},
		func(cmd *cobra.Command, ledger string, print func(any, string) error) error {
			d, err := parseAge(age)
			if err != nil {
				return fmt.Errorf("--older-than: %w", err)
			}
			done, err := app.ArchiveLedger(cmd.Context(), ledger, out, d)
			if err != nil {
				return err
			}
			if done.File == "" {
				return print(done, "nothing expired before "+done.ExpiredBefore.Format(time.RFC3339))
			}
			text := fmt.Sprintf("%s: %d certificates that expired before %s, SM3 %s", done.File, done.Certificates, done.ExpiredBefore.Format(time.RFC3339), done.Digest)
			if done.More {
				text += "; there are more: run it again with another --out"
			}
			return print(done, text)
		})
	cmd.Flags().StringVar(&out, "out", "", "file to be written; it must not be there")
	cmd.Flags().StringVar(&age, "older-than", "", "time since the certificates expired, as 10y or 730d; at least 1y")
	require(cmd, "out", "older-than")
	return cmd
}

// parseAge reads years (of 365 days) or days.
func parseAge(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	units := map[byte]time.Duration{'y': 365 * day, 'd': day}
	if s != "" {
		unit, known := units[s[len(s)-1]]
		n, err := strconv.Atoi(s[:len(s)-1])
		if known && err == nil && n >= 1 && n <= 36500 && time.Duration(n)*(unit/day) <= 100*365 {
			return time.Duration(n) * unit, nil
		}
	}
	return 0, fmt.Errorf("%.16q: want years or days, as 10y or 730d, at most 100y", s)
}

// without checks that every sort of source is given or gone without on purpose.
func without(given map[string]bool, gone []string) error {
	some := false
	for _, sort := range []string{"api", "directory", "validation"} {
		some = some || given[sort]
		without := slices.Contains(gone, sort)
		switch {
		case given[sort] && without:
			return fmt.Errorf("--without %s: a source of that sort is given", sort)
		case !given[sort] && !without:
			return fmt.Errorf("no source of sort %s: give one, or say --without %s; what only it knows stays forgotten then", sort, sort)
		}
	}
	for _, g := range gone {
		if _, known := given[g]; !known {
			return fmt.Errorf("--without %.32q: want api, directory or validation", g)
		}
	}
	if !some {
		return errors.New("no source at all: nothing could be recovered")
	}
	return nil
}
