package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
)

// maxFound bounds one answer of search.
const maxFound = 10_000

func (a *auditing) searchCommand() *cobra.Command {
	var f audit.Filter
	var since, until moment
	limit := 100
	cmd := &cobra.Command{Use: "search", Args: cobra.NoArgs, Short: "Find acts by time, operator, type, result, subject or serial number",
		Example: `  terrace audit search --since 24h --act revoke --operator li@ministry
  terrace audit search --serial 0C4F... --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > maxFound {
				return fmt.Errorf("--limit %d: want 1 to %d", limit, maxFound)
			}
			if f.Serial != "" {
				serial, err := pki.ParseSerial(f.Serial)
				if err != nil {
					return fmt.Errorf("--serial: %w", err)
				}
				f.Serial = string(serial)
			}
			switch f.Result {
			case "", audit.ResultDone, audit.ResultRefused, audit.ResultAbandoned:
			default:
				return fmt.Errorf("--result %q: want %s, %s or %s", f.Result, audit.ResultDone, audit.ResultRefused, audit.ResultAbandoned)
			}
			f.Since, f.Until = since.Time, until.Time
			return a.read(cmd.Context(), func(l audit.Ledger) error {
				marks, err := audit.ReadMarks(cmd.Context(), l)
				if err != nil {
					return err
				}
				last := f.After
				write := leafWriter(cmd.OutOrStdout(), a.json)
				more, err := audit.Search(cmd.Context(), l, f, limit, func(leaf audit.Leaf) error {
					last = leaf.Seq
					return write(audit.NewLine(leaf, marks))
				})
				if more {
					fmt.Fprintf(cmd.ErrOrStderr(), "there are more: --after %d\n", last)
				}
				return err
			})
		}}
	fl := cmd.Flags()
	fl.Var(&since, "since", "from this time on: RFC 3339, a day, or how long ago (24h)")
	fl.Var(&until, "until", "before this time")
	fl.StringVar(&f.Operator, "operator", "", "who asked for the act: a user, officer or auditor")
	fl.StringVar(&f.Act, "act", "", "type: issue, intent, abandon, revoke, hold, release, act-refused, crl, crl-number, key, accept, takeover, mark")
	fl.StringVar(&f.Result, "result", "", "done, refused or abandoned")
	fl.StringVar(&f.Subject, "subject", "", "what it was done to, as search prints it")
	fl.StringVar(&f.Serial, "serial", "", "serial number of a certificate, hexadecimal")
	fl.Int64Var(&f.After, "after", 0, "leaves after this number")
	fl.IntVar(&limit, "limit", limit, "at most so many")
	a.addJSON(cmd)
	return cmd
}

// leafWriter writes lines for people or programs.
func leafWriter(w io.Writer, asJSON bool) func(audit.Line) error {
	if asJSON {
		line := jsonLines(w)
		return func(l audit.Line) error { return line(l) }
	}
	return func(l audit.Line) error {
		fields := []string{fmt.Sprint(l.Seq), l.At.Local().Format("2006-01-02 15:04:05.000"), l.Act, l.Result, l.Subject}
		if l.Operator != "" {
			fields = append(fields, "by "+l.Operator)
		}
		switch l.Act {
		case "intent", "issue":
			var d audit.Detail
			_ = json.Unmarshal(l.Detail, &d) // what is no detail has no serials
			fields = append(fields, fmt.Sprintf("%d serials", len(d)))
		default:
			fields = append(fields, string(l.Detail))
		}
		if len(l.AuditedBy) > 0 {
			fields = append(fields, "audited by "+strings.Join(l.AuditedBy, ", "))
		}
		_, err := fmt.Fprintln(w, strings.Join(fields, "  "))
		return err
	}
}

func (a *auditing) markCommand() *cobra.Command {
	var t trust
	var m audit.Mark
	var keyFile string
	var unverified bool
	cmd := &cobra.Command{Use: "mark", Args: cobra.NoArgs, Short: "Mark leaves as audited, signed by an auditor",
		Long: `Mark leaves as audited, signed by an auditor: a record and a leaf of its own, which
verify checks and search shows beside what was audited. The mark covers the content
of the leaves by the root of the newest checkpoint. The ledger is verified first, and
is not marked when something is found.

The process that issues goes on meanwhile; on a ledger nobody is fenced off.`,
		Example: `  terrace audit mark --ledger sqlite:/var/lib/terrace/ledger.db --auditor wang --key wang.pem --from 1 --note "first quarter"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := readOfficerKey(keyFile)
			if err != nil {
				return fmt.Errorf("--key: %w", err)
			}
			o, err := t.options(cmd.Context())
			if err != nil {
				return err
			}
			return a.open(cmd.Context(), func(l *app.Audit) error {
				newest, err := l.Newest(cmd.Context())
				if err != nil {
					return err
				}
				if !unverified {
					o.Witnesses = append(o.Witnesses, audit.Witness{From: "the ledger", Signed: newest})
					err := l.Read(cmd.Context(), func(n audit.Ledger) error {
						r, err := audit.Verify(cmd.Context(), n, o)
						if err == nil && !r.OK() {
							err = errors.Join(a.report(cmd.OutOrStdout(), r), errFindings)
						}
						return err
					})
					if err != nil {
						return err
					}
				}
				m.Tree, m.Size, m.Root, m.At = newest.Tree, newest.Size, newest.Root, time.Now()
				if m.To == 0 {
					m.To = newest.Size
				}
				signed, err := m.Sign(key)
				if err != nil {
					return err
				}
				seq, err := l.Mark(cmd.Context(), signed)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "leaves %d to %d are marked as audited by %s, in leaf %d\n", m.From, m.To, m.Auditor, seq)
				}
				return err
			})
		}}
	f := cmd.Flags()
	f.StringVar(&m.Auditor, "auditor", "", "name of the auditor")
	f.StringVar(&keyFile, "key", "", "file with the auditor's SM2 key (PKCS#8 PEM), mode 0600")
	f.Int64Var(&m.From, "from", 1, "first leaf that was audited")
	f.Int64Var(&m.To, "to", 0, "last leaf; default: the last that the newest checkpoint covers")
	f.StringVar(&m.Note, "note", "", "what the auditor has to say, without personal data")
	f.BoolVar(&unverified, "unverified", false, "mark without verifying the ledger first: somebody did, just now")
	t.add(cmd)
	for _, name := range []string{"auditor", "key"} {
		_ = cmd.MarkFlagRequired(name) // fails for a flag that is not there
	}
	return cmd
}

func (a *auditing) exportCommand() *cobra.Command {
	var after int64
	var out string
	cmd := &cobra.Command{Use: "export", Args: cobra.NoArgs, Short: "Write leaves with their proofs as lines of JSON",
		Long: `Write leaves with their proofs as lines of JSON. The first line has the checkpoint
that the proofs of the others lead to. To go on where an export ended, give the last
number with --after: it begins with a checkpoint of its own.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.open(cmd.Context(), func(l *app.Audit) (err error) {
				w := cmd.OutOrStdout()
				if out != "-" {
					f, openErr := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
					if openErr != nil {
						return fmt.Errorf("--out: %w", openErr)
					}
					w = f
					defer func() { err = errors.Join(err, f.Close()) }()
				}
				newest, err := l.Newest(cmd.Context())
				if err != nil {
					return err
				}
				write := jsonLines(w)
				return l.Read(cmd.Context(), func(n audit.Ledger) error {
					keys, err := n.Keys(cmd.Context())
					if err != nil {
						return err
					}
					header := audit.Header{Checkpoint: string(newest.Text())}
					for _, k := range keys {
						header.Keys = append(header.Keys, k.PublicKey)
					}
					if err := write(header); err != nil {
						return err
					}
					return audit.Export(cmd.Context(), n, newest.Checkpoint, after, func(line audit.Line) error { return write(line) })
				})
			})
		}}
	cmd.Flags().Int64Var(&after, "after", 0, "leaves after this number")
	cmd.Flags().StringVar(&out, "out", "-", "file to make; -: standard output")
	return cmd
}
