package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/audit"
)

// errFindings ends the program with exitFindings: it could look, and something is wrong.
var errFindings = errors.New("the ledger is not as it was recorded")

// auditing is what the commands of audit share.
type auditing struct {
	ledger databaseFlag
	json   bool
}

func auditCommand() *cobra.Command {
	a := &auditing{}
	cmd := &cobra.Command{Use: "audit", Short: "Check, search, mark and export the audit log (审计)",
		Long: `Check, search, mark and export the audit log (审计) of a ledger.

It reads beside the process that issues, which goes on; nothing is taken over.
On SQLite run it as the user of that process, on its host.`}
	a.ledger.add(cmd.PersistentFlags(), "ledger", "TERRACE_LEDGER", "the ledger")
	cmd.AddCommand(a.verifyCommand(), a.searchCommand(), a.markCommand(), a.exportCommand(), a.keysCommand())
	return cmd
}

func (a *auditing) addJSON(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
}

// open runs do with the ledger.
func (a *auditing) open(ctx context.Context, do func(*app.Audit) error) (err error) {
	name, err := a.ledger.read()
	if err != nil {
		return err
	}
	l, err := app.OpenAudit(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return do(l)
}

// read runs do over one state of the ledger.
func (a *auditing) read(ctx context.Context, do func(audit.Ledger) error) error {
	return a.open(ctx, func(l *app.Audit) error { return l.Read(ctx, do) })
}

func (a *auditing) keysCommand() *cobra.Command {
	return &cobra.Command{Use: "keys", Args: cobra.NoArgs, Short: "Print the public keys that sign checkpoints, PEM",
		Long: "Print the public keys that sign checkpoints, PEM. Keep them apart from the ledger, for verify --audit-key.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.read(cmd.Context(), func(l audit.Ledger) error {
				keys, err := l.Keys(cmd.Context())
				if err != nil {
					return err
				}
				if len(keys) == 0 {
					return errors.New("the ledger knows no audit key: start the process that issues with --audit-device")
				}
				for _, k := range keys {
					fmt.Fprintln(cmd.OutOrStdout(), "#", k.Label)
					if err := pem.Encode(cmd.OutOrStdout(), &pem.Block{Type: "PUBLIC KEY", Bytes: k.PublicKey}); err != nil {
						return err
					}
				}
				return nil
			})
		}}
}

// moment is a flag of a time: RFC 3339, or how long ago.
type moment struct{ time.Time }

func (m *moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.Format(time.RFC3339)
}

// Type implements pflag.Value.
func (m *moment) Type() string { return "time" }

// Set implements pflag.Value.
func (m *moment) Set(s string) error {
	if ago, err := time.ParseDuration(s); err == nil {
		m.Time = time.Now().Add(-ago)
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			m.Time = t
			return nil
		}
	}
	return fmt.Errorf("want a time as 2026-03-01T08:00:00+08:00, a day as 2026-03-01, or how long ago as 24h")
}

// jsonLines writes one value on each line.
func jsonLines(w io.Writer) func(any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return func(v any) error { return e.Encode(v) }
}
