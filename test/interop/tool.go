// Package interop verifies certificates, lists and OCSP responses with software
// that is not ours, OpenSSL 3 and BouncyCastle, and makes requests with it.
//
// Every function returns an error when the other software refuses, or is not
// there: a missing tool is an error that names the Debian package, never a skip.
package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// toolTimeout ends a tool that hangs, a first javac on a busy machine included.
	toolTimeout = 3 * time.Minute
	// maxInput bounds one file given to a tool, in bytes.
	maxInput = 64 << 20
)

// debianPackage holds each tool that this package runs.
var debianPackage = map[string]string{
	"openssl": "openssl",
	"java":    "default-jdk-headless",
	"javac":   "default-jdk-headless",
}

// workspace is a folder of one call's files.
type workspace string

// newWorkspace makes a folder with the files; the caller removes it.
func newWorkspace(files map[string][]byte) (workspace, error) {
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return "", fmt.Errorf("make workspace: %w", err)
	}
	w := workspace(dir)
	for name, content := range files {
		if err := w.write(name, content); err != nil {
			w.remove()
			return "", err
		}
	}
	return w, nil
}

func (w workspace) path(name string) string { return filepath.Join(string(w), name) }

func (w workspace) remove() { os.RemoveAll(string(w)) }

func (w workspace) write(name string, content []byte) error {
	if len(content) > maxInput {
		return fmt.Errorf("write %s: %d bytes, at most %d", name, len(content), maxInput)
	}
	return os.WriteFile(w.path(name), content, 0o600)
}

// output is what a tool printed.
type output struct{ stdout, stderr []byte }

// all is both streams: which of them carries a verdict differs between the
// subcommands of OpenSSL.
func (o output) all() []byte { return append(bytes.Clone(o.stdout), o.stderr...) }

// runTool runs a tool in dir. An exit status other than 0 is an error with the
// tool's own words; the output comes back in any case.
func runTool(dir string, env []string, name string, args ...string) (output, error) {
	ctx, cancel := context.WithTimeout(context.Background(), toolTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), env...)
	err := cmd.Run()
	out := output{stdout.Bytes(), stderr.Bytes()}
	what := name
	if len(args) > 0 && name == "openssl" {
		what += " " + args[0]
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return out, fmt.Errorf("%s: %w: install Debian's package %s", what, err, debianPackage[name])
	case ctx.Err() != nil:
		return out, fmt.Errorf("%s: no end after %s", what, toolTimeout)
	case err != nil:
		return out, fmt.Errorf("%s: %w: %s", what, err, bytes.TrimSpace(out.all()))
	}
	return out, nil
}
