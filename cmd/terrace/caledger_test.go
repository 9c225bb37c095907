package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/app"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func terraceRun(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := command("terrace")
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := terraceRun(t, args...)
	if err != nil {
		t.Fatalf("terrace %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// good returns the certificates of a ledger.
func good(t *testing.T, path string) (all []authority.Record) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	settings, err := authority.ReadSettings(t.Context(), s)
	if err != nil || len(settings) != 1 {
		t.Fatalf("%d CAs, %v", len(settings), err)
	}
	all, _, err = s.Good(t.Context(), settings[0].Key, 0, authority.MaxChanges)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A ledger is lost, restored by command, and reconciled with a directory's server.
func TestLedgerByCommand(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	issue := []string{"bench", "issue", "-n", "3", "--dir", dir, "--json"}
	mustRun(t, issue...)
	ledgers, err := filepath.Glob(file("*.db"))
	if err != nil || len(ledgers) != 1 {
		t.Fatalf("ledgers %v, %v", ledgers, err)
	}
	path := ledgers[0]
	ledger := []string{"--ledger", "sqlite:" + path}
	ca := func(name string, args ...string) []string {
		return append(append([]string{"ca", name}, ledger...), args...)
	}
	var saved app.SavedLedger
	if err := json.Unmarshal([]byte(mustRun(t, ca("backup", "--out", file("backup"), "--json")...)), &saved); err != nil || saved.Rows["issued"] != 3 {
		t.Fatalf("saved %+v, %v", saved, err)
	}
	mustRun(t, issue...)
	all := good(t, path)
	if len(all) != 6 {
		t.Fatalf("%d certificates", len(all))
	}
	lost := all[5]
	if _, err := terraceRun(t, ca("restore", "--in", file("backup"))...); err == nil || !strings.Contains(err.Error(), "a ledger in this database already") {
		t.Errorf("restored over a ledger: %v", err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if _, err := terraceRun(t, ca("restore", "--in", file("backup"), "--sm3", strings.Repeat("0", 64))...); err == nil || !strings.Contains(err.Error(), "another backup") {
		t.Errorf("another backup is restored: %v", err)
	}
	if out := mustRun(t, ca("restore", "--in", file("backup"), "--sm3", saved.Digest, "--dry-run")...); !strings.Contains(out, "nothing was written") {
		t.Errorf("dry run: %s", out)
	}
	mustRun(t, ca("restore", "--in", file("backup"), "--sm3", saved.Digest)...)
	if _, err := terraceRun(t, issue...); err == nil || !strings.Contains(err.Error(), "terrace ca reconcile") {
		t.Errorf("a restored ledger issues: %v", err)
	}

	server := slapdtest.Start(t, slapd.Master, nil)
	text := func(typ string, values ...string) directory.Attribute {
		a := directory.Attribute{Type: typ}
		for _, v := range values {
			a.Values = append(a.Values, []byte(v))
		}
		return a
	}
	err = server.Client(t, slapdtest.Operator).Apply(t.Context(), []directory.Change{
		{Kind: directory.Add, DN: slapdtest.Base, Attributes: []directory.Attribute{text("objectClass", "domain"), text("dc", "example")}},
		{Kind: directory.Add, DN: "cn=lost," + slapdtest.Base, Attributes: []directory.Attribute{text("objectClass", "device", "pkiUser"), text("cn", "lost"), text("userCertificate;binary", string(lost.Certificate))}}})
	if err != nil {
		t.Fatal(err)
	}
	flags := serverFlags(t, server, slapdtest.Replicator)
	flags[0] = "--directory-url"
	sources := append(flags, "--base", slapdtest.Base, "--without", "api", "--without", "validation")
	for _, dry := range []bool{true, false} {
		args := ca("reconcile", sources...)
		if dry {
			args = append(args, "--dry-run")
		}
		out := mustRun(t, args...)
		if !strings.Contains(out, "Missing  "+string(lost.Serial)) || !strings.Contains(out, ": 1 certificates, 0 serials") || strings.Contains(out, "may be used again") == dry {
			t.Errorf("reconcile, dry %t: %s", dry, out)
		}
	}
	mustRun(t, issue...)
	if n := len(good(t, path)); n != 7 {
		t.Errorf("%d certificates, want 3 of the backup, 1 recovered, 3 new", n)
	}
	if _, err := terraceRun(t, ca("archive", "--out", file("archive.pem"), "--older-than", "364d")...); err == nil || !strings.Contains(err.Error(), "want a year") {
		t.Errorf("an archive of what expired just now: %v", err)
	}
	if out := mustRun(t, ca("archive", "--out", file("archive.pem"), "--older-than", "1y")...); !strings.Contains(out, "nothing expired") {
		t.Errorf("archive: %s", out)
	}
}

// What expired two years ago leaves the ledger, and its request still gets no other certificate.
func TestArchiveByCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	then := time.Now().AddDate(-3, 0, 0)
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, TakeOver: true, Now: func() time.Time { return then }})
	if err != nil {
		t.Fatal(err)
	}
	key := authority.IssuerKey{Authority: "BusinessCA/a/b", Generation: 1}
	id := authority.Identity{Kind: "CertificateRequest", Namespace: "a", Name: "old"}
	begun, err := s.Begin(t.Context(), key, 1, []authority.Identity{id})
	if err != nil {
		t.Fatal(err)
	}
	tbs, cert := []byte{0x30, 0x02, 0x05, 0x00}, []byte{0x30, 0x06, 0x30, 0x02, 0x05, 0x00, 0x05, 0x00}
	if err := s.RecordIntent(t.Context(), key, []authority.Intent{{Identity: id, Serial: begun[0].Serial, Attempt: 1, TBS: tbs, NotAfter: then.AddDate(1, 0, 0)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.RecordIssued(t.Context(), key, []authority.Issued{{Serial: begun[0].Serial, Certificate: cert}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "archive.pem")
	var done app.ArchivedLedger
	printed := mustRun(t, "ca", "archive", "--ledger", "sqlite:"+path, "--out", out, "--older-than", "1y", "--json")
	if err := json.Unmarshal([]byte(printed), &done); err != nil || done.Certificates != 1 || done.Dropped != 1 {
		t.Fatalf("archived %s, %v", printed, err)
	}
	if b, err := os.ReadFile(out); err != nil || !strings.Contains(string(b), string(begun[0].Serial)) {
		t.Errorf("archive %s, %v", b, err)
	}
	again, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	known, err := again.Begin(t.Context(), key, 1, []authority.Identity{id})
	if err != nil || known[0].Serial != begun[0].Serial || known[0].State != authority.StateIssued || known[0].Certificate != nil {
		t.Errorf("begin: %+v, %v", known, err)
	}
}

func TestReconcileWantsSources(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"none":             {nil, "no source of sort api"},
		"one sort of them": {[]string{"--api"}, "no source of sort directory"},
		"none on purpose":  {[]string{"--without", "api", "--without", "directory", "--without", "validation"}, "no source at all"},
		"unknown sort":     {[]string{"--crl", "x", "--without", "api", "--without", "directory", "--without", "luck"}, `"luck"`},
		"given and not":    {[]string{"--crl", "x", "--without", "validation", "--without", "api", "--without", "directory"}, "a source of that sort is given"},
		"half a directory": {[]string{"--directory-url", "ldaps://x", "--without", "validation", "--without", "api"}, "needs --base"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := terraceRun(t, append([]string{"ca", "reconcile", "--ledger", "sqlite:/nowhere/ledger.db"}, c.args...)...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestParseAge(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{"1y": 365 * day, "10y": 3650 * day, "730d": 730 * day, "100y": 36500 * day,
		"": 0, "y": 0, "0y": 0, "-1y": 0, "101y": 0, "1h": 0, "1": 0, "99999999999y": 0, "36501d": 0} {
		got, err := parseAge(in)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %s, %v, want %s", in, got, err, want)
		}
	}
}
