package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/link"
)

// directoryRun runs a command of terrace directory and returns what it printed.
func directoryRun(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := command("terrace")
	cmd.SetOut(&out)
	cmd.SetArgs(append([]string{"directory"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func serverFlags(t *testing.T, s *slapdtest.Server, account string) []string {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(account), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--url", "ldaps://" + s.Config.Address, "--bind-dn", slapd.AccountDN(account), "--password-file", password, "--ca-file", s.Config.CAFile}
}

func TestDirectoryByFile(t *testing.T) {
	master, slave := slapdtest.Start(t, slapd.Master, nil), slapdtest.Start(t, slapd.Slave, nil)
	err := master.Client(t, slapdtest.Operator).Apply(t.Context(), []directory.Change{{Kind: directory.Add, DN: slapdtest.Base, Attributes: []directory.Attribute{
		{Type: "objectClass", Values: [][]byte{[]byte("domain")}}, {Type: "dc", Values: [][]byte{[]byte("example")}},
		{Type: "description", Values: [][]byte{[]byte("terrace: filled by a test")}}}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	key, err := link.EnsureKey(file("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := link.EnsureKey(file("other.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*link.Key{"public.pem": key, "stranger.pem": other} {
		if err := os.WriteFile(file(name), k.PublicPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	export := append(serverFlags(t, master, slapdtest.Replicator), "export", "--directory", "ns/d", "--base", slapdtest.Base,
		"--message-key", file("key.pem"), "--state", file("export.json"), "--out", dir)
	out, err := directoryRun(t, export...)
	if err != nil || !strings.HasSuffix(out, ": 1 records\n") {
		t.Fatalf("export: %q, %v", out, err)
	}
	set, _, _ := strings.Cut(out, ":")
	if out, err := directoryRun(t, export...); err != nil || !strings.HasPrefix(out, "nothing changed") {
		t.Errorf("export again: %q, %v", out, err)
	}
	imports := append(serverFlags(t, slave, slapdtest.Writer), "import", set, "--directory", "ns/d", "--state", file("import.json"))
	for name, keys := range map[string][]string{
		"another key":      {"--public-key", file("stranger.pem")},
		"no key":           nil,
		"both":             {"--public-key", file("public.pem"), "--peers", file("peers.yaml")},
		"unknown peer":     {"--peers", peersFile(t, file("peers.yaml"), "exporter", key), "--peer", "somebody"},
		"key is no public": {"--public-key", file("key.pem")},
	} {
		if _, err := directoryRun(t, append(imports, keys...)...); err == nil {
			t.Errorf("import with %s went through", name)
		}
	}
	out, err = directoryRun(t, append(imports, "--peers", file("peers.yaml"), "--peer", "exporter")...)
	if err != nil || out != "1 sets applied, 1 entries changed\n" {
		t.Errorf("import: %q, %v", out, err)
	}
	out, err = directoryRun(t, append(imports, "--public-key", file("public.pem"))...)
	if err != nil || out != "0 sets applied, 0 entries changed\n" {
		t.Errorf("import again: %q, %v", out, err)
	}
	load := append(serverFlags(t, slave, slapdtest.Writer), "load", "--base", slapdtest.Base, "--out", file("all.ldif"))
	if out, err := directoryRun(t, load...); err != nil || !strings.HasSuffix(out, ": 1 entries\n") {
		t.Errorf("load: %q, %v", out, err)
	}
	b, err := os.ReadFile(file("all.ldif"))
	if err != nil || !bytes.Contains(b, []byte("dn: "+slapdtest.Base+"\n")) {
		t.Errorf("LDIF: %s, %v", b, err)
	}
}

func peersFile(t *testing.T, path, name string, key *link.Key) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("peers:\n- name: " + name + "\n  publicKey: |\n")
	for line := range strings.Lines(string(key.PublicPEM())) {
		b.WriteString("    " + line)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPusherFlagsAreJudged(t *testing.T) {
	for name, args := range map[string][]string{
		"no state":     {"pusher"},
		"no transport": {"pusher", "--state-dir", "/x", "--transport-dir", ""},
		"no name":      {"pusher", "--state-dir", "/x", "--name", ""},
		"bad address":  {"pusher", "--state-dir", "/x", "--metrics-address", "x"},
	} {
		cmd := command("terrace")
		cmd.SetArgs(args)
		start := time.Now()
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "--") {
			t.Errorf("%s: %v, want the flag's name", name, err)
		}
		if time.Since(start) > 5*time.Second {
			t.Errorf("%s: took %s: flags are judged first", name, time.Since(start))
		}
	}
}
