package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
)

// trust is what who verifies knows from elsewhere than the ledger.
type trust struct {
	checkpoints, keys, people []string
}

func (t *trust) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&t.checkpoints, "checkpoint", nil, "file or URL of a checkpoint that was kept elsewhere, such as http://validation:8080/audit/checkpoint; may be repeated")
	f.StringArrayVar(&t.keys, "audit-key", nil, "PEM file of a public key that signs checkpoints; default: those that the ledger knows; may be repeated")
	f.StringArrayVar(&t.people, "person", nil, "NAME=FILE: PEM file of the public key of an officer or auditor; may be repeated")
}

// options reads the files and URLs.
func (t *trust) options(ctx context.Context) (o audit.Options, err error) {
	o.Now, o.People = time.Now(), audit.People{}
	for _, from := range t.checkpoints {
		text, err := fetchCheckpoint(ctx, from)
		if err != nil {
			return o, fmt.Errorf("--checkpoint %s: %w", from, err)
		}
		signed, err := audit.ParseSigned(text)
		if err != nil {
			return o, fmt.Errorf("--checkpoint %s: %w", from, err)
		}
		o.Witnesses = append(o.Witnesses, audit.Witness{From: from, Signed: signed})
	}
	for _, file := range t.keys {
		spki, err := publicKeyFile(file)
		if err != nil {
			return o, fmt.Errorf("--audit-key: %w", err)
		}
		o.Keys = append(o.Keys, audit.Key{Label: file, PublicKey: spki})
	}
	for _, person := range t.people {
		name, file, ok := strings.Cut(person, "=")
		if !ok || name == "" {
			return o, fmt.Errorf("--person %q: want NAME=FILE", person)
		}
		spki, err := publicKeyFile(file)
		if err != nil {
			return o, fmt.Errorf("--person %s: %w", name, err)
		}
		if o.People[name], err = pki.ParseSM2SPKI(spki); err != nil {
			return o, fmt.Errorf("--person %s: %w", name, err)
		}
	}
	return o, nil
}

// checkpointTimeout bounds the wait for a validation node.
const checkpointTimeout = 15 * time.Second

// fetchCheckpoint reads a file, or a URL: its signature is what counts, not the line that it came over.
func fetchCheckpoint(ctx context.Context, from string) ([]byte, error) {
	if !strings.HasPrefix(from, "http://") && !strings.HasPrefix(from, "https://") {
		f, err := os.Open(from)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, audit.MaxCheckpoint+1))
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answers %s", answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, audit.MaxCheckpoint+1))
}

// publicKeyFile reads the first PEM block of a file, DER SubjectPublicKeyInfo of an SM2 key.
func publicKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("%s: is no PEM block PUBLIC KEY", path)
	}
	if err := pki.CheckSM2SPKI(block.Bytes); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return block.Bytes, nil
}

func (a *auditing) verifyCommand() *cobra.Command {
	var t trust
	var quiet bool
	cmd := &cobra.Command{Use: "verify", Args: cobra.NoArgs, Short: "Check that nobody changed, removed or added what was recorded",
		Long: `Check that nobody changed, removed or added what was recorded: every leaf's hash,
the tree over them, every checkpoint's signature, the rows of the ledger against
the leaves, and the signatures of officers and auditors.

Give --checkpoint with one that was kept elsewhere: only then is it seen when the
ledger was put back to an older state of itself. Give --audit-key too: who may
write the ledger may write another key into it.

It reads one state of the ledger, so the process that issues goes on. Exit code 0:
all is as recorded; 1: something is not; 2: the ledger could not be read.`,
		Example: `  terrace audit verify --ledger sqlite:/var/lib/terrace/ledger.db --checkpoint http://validation.example:8080/audit/checkpoint --audit-key audit.pem`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := t.options(cmd.Context())
			if err != nil {
				return unreadable(err)
			}
			if !quiet {
				o.Progress = progressTo(cmd.ErrOrStderr())
			}
			var r audit.Report
			err = a.read(cmd.Context(), func(l audit.Ledger) (err error) {
				r, err = audit.Verify(cmd.Context(), l, o)
				return err
			})
			if err != nil {
				return unreadable(err)
			}
			if err := a.report(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			if !r.OK() {
				return errFindings
			}
			return nil
		}}
	t.add(cmd)
	a.addJSON(cmd)
	cmd.Flags().BoolVar(&quiet, "quiet", false, "do not say how far it is")
	return cmd
}

func (a *auditing) report(w io.Writer, r audit.Report) error {
	if a.json {
		return jsonLines(w)(r)
	}
	for _, f := range r.Findings {
		fmt.Fprintln(w, "WRONG", f)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more\n", r.More)
	}
	signed := "none is signed"
	if r.SignedAt != nil {
		signed = fmt.Sprintf("signed up to %d at %s", r.Signed, r.SignedAt.Format(time.RFC3339))
	}
	verdict := "all is as it was recorded"
	if !r.OK() {
		verdict = fmt.Sprintf("%d findings", int64(len(r.Findings))+r.More)
	}
	_, err := fmt.Fprintf(w, "tree %s: %d leaves, %s; %d checkpoints, %d from elsewhere, %d marks: %s\n", r.Tree, r.Leaves, signed, r.Checkpoints, r.Witnesses, r.Marks, verdict)
	return err
}

// progressTo says how far it is, every two seconds.
func progressTo(w io.Writer) func(string, int64, int64) {
	last := time.Now()
	return func(what string, done, of int64) {
		if time.Since(last) < 2*time.Second {
			return
		}
		last = time.Now()
		if of > 0 {
			fmt.Fprintf(w, "%s: %d of %d\n", what, done, of)
		} else {
			fmt.Fprintf(w, "%s: %d\n", what, done)
		}
	}
}
