package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/terrace-pki/terrace/internal/lint"
)

// Exit codes of the commands that judge.
const (
	exitFindings   = 1
	exitUnreadable = 2
)

// exitError ends the process with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }
func (e exitError) Unwrap() error { return e.err }

// exitCode is what main ends with.
func exitCode(err error) int {
	var e exitError
	if errors.As(err, &e) {
		return e.code
	}
	return 1
}

// unreadable gives an error the exit code of input that could not be judged.
func unreadable(err error) error { return exitError{exitUnreadable, err} }

// maxLintFiles bounds a call.
const maxLintFiles = 1024

type lintOptions struct {
	issuers    []string
	profile    string
	json, list bool
}

// linted is what was found in one object.
type linted struct {
	File     string         `json:"file"`
	Object   int            `json:"object"` // from 1
	Family   lint.Family    `json:"family"`
	Findings []lint.Finding `json:"findings"`
}

func lintCommand() *cobra.Command {
	var o lintOptions
	cmd := &cobra.Command{Use: "lint FILE...", Short: "Check certificates, CRLs, OCSP responses and requests by named rules",
		Long: `Check certificates, chains, CRLs, OCSP responses and certificate requests in PEM
or DER by the rules of docs/lints.md; - is standard input. The issuer is looked for
among --issuer and the certificates of all files; then the signature is checked
too. What a certificate is meant to be is told by its usages; --profile says it.
The exit code is 0 without errors, 1 with findings of severity error, 2 when
something could not be read.`,
		Example: `  terrace lint person.pem --issuer ca.pem
  curl -s http://pki.example/crl/1.crl | terrace lint --issuer ca.pem -
  terrace lint tsa.pem --profile tsa --json
  terrace lint --list`,
		Args: func(_ *cobra.Command, files []string) error {
			if o.list == (len(files) > 0) || len(files) > maxLintFiles {
				return unreadable(fmt.Errorf("want 1 to %d files, or --list", maxLintFiles))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error {
			if o.list {
				return o.printLints(cmd.OutOrStdout())
			}
			all, err := o.run(cmd.InOrStdin(), files)
			if err != nil {
				return unreadable(err)
			}
			if err := o.print(cmd.OutOrStdout(), all); err != nil {
				return err
			}
			if n := errorsIn(all); n > 0 {
				return exitError{exitFindings, fmt.Errorf("%d findings of severity error", n)}
			}
			return nil
		}}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return unreadable(err) })
	f := cmd.Flags()
	f.StringArrayVar(&o.issuers, "issuer", nil, "file with CA certificates that may have issued what is linted; may be repeated")
	f.StringVar(&o.profile, "profile", "", "what it is meant to be: "+strings.Join(lint.KindNames(), ", "))
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.list, "list", false, "print the rules")
	return cmd
}

func errorsIn(all []linted) int {
	n := 0
	for _, l := range all {
		for _, f := range l.Findings {
			if f.Severity == lint.SeverityError {
				n++
			}
		}
	}
	return n
}

func (o lintOptions) run(stdin io.Reader, files []string) ([]linted, error) {
	var kind lint.Kinds
	if o.profile != "" {
		var err error
		if kind, err = lint.ParseKind(o.profile); err != nil {
			return nil, fmt.Errorf("--profile: %w", err)
		}
	}
	var issuers lint.Issuers
	for _, path := range o.issuers {
		objects, err := readObjects(stdin, path)
		if err != nil {
			return nil, fmt.Errorf("--issuer: %w", err)
		}
		issuers.AddAll(objects)
	}
	inputs := make([][]lint.Object, len(files))
	for i, path := range files {
		objects, err := readObjects(stdin, path)
		if err != nil {
			return nil, err
		}
		inputs[i] = objects
		issuers.AddAll(objects)
	}
	var all []linted
	for i, path := range files {
		for n, object := range inputs[i] {
			found, err := lint.Examine(object, issuers.Of(object), kind)
			if err != nil {
				return nil, fmt.Errorf("%s: object %d: --profile: %w", path, n+1, err)
			}
			all = append(all, linted{path, n + 1, object.Family, found})
		}
	}
	return all, nil
}

func readObjects(stdin io.Reader, path string) ([]lint.Object, error) {
	b, err := readBounded(stdin, path, lint.MaxInput)
	if err != nil {
		return nil, err
	}
	objects, err := lint.ParseObjects(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return objects, nil
}

// readBounded reads a file, or - for standard input, of at most limit bytes.
func readBounded(stdin io.Reader, path string, limit int64) ([]byte, error) {
	r := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return b, err
}

func (o lintOptions) print(w io.Writer, all []linted) error {
	if o.json {
		for i := range all {
			if all[i].Findings == nil {
				all[i].Findings = []lint.Finding{} // an empty list, not null
			}
		}
		return printJSON(w, all)
	}
	for _, l := range all {
		if len(l.Findings) == 0 {
			if _, err := fmt.Fprintf(w, "%s: %s %d: nothing found\n", l.File, l.Family, l.Object); err != nil {
				return err
			}
		}
		for _, f := range l.Findings {
			if _, err := fmt.Fprintf(w, "%s: %s %d: %s: %s\n", l.File, l.Family, l.Object, f.Severity, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (o lintOptions) printLints(w io.Writer) error {
	if o.json {
		return printJSON(w, lint.Lints())
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range lint.Lints() {
		severity := l.Severity.String()
		if l.GateOnly {
			severity = "before signing"
		}
		if _, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", l.Name, severity, l.Kinds, l.Demands, l.Source); err != nil {
			return err
		}
	}
	return t.Flush()
}
