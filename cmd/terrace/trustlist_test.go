package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/pki"
)

// The lists of package trustlist were made at 2026-03-01T08:00:00Z for two days.
const (
	listFolder = "../../internal/trustlist/testdata"
	listTime   = "2026-03-01T09:00:00Z"
)

// trustListRoot writes the root of those lists, or the certificate at another
// place in the file, and returns its path.
func trustListRoot(t *testing.T, at int) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(listFolder, "certificates.pem"))
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := pki.ParseCertificatesPEM(b, 8)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(file, pki.EncodePEM(pki.PEMCertificate, certificates[at].Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTrustListVerify(t *testing.T) {
	root, other := trustListRoot(t, 0), trustListRoot(t, 2)
	tampered := filepath.Join(t.TempDir(), "tampered.ctl")
	b, err := os.ReadFile(filepath.Join(listFolder, "list.ctl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tampered, bytes.Replace(b, []byte("ministry"), []byte("mimicry0"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file  string
		flags []string
		code  int
		want  string // in the error, else in the output
	}{
		"ctl":           {file: "list.ctl", want: "sequence number  1772352000000000000"},
		"p7b":           {file: "list.p7b", want: "CN=Two,O=测试,C=CN"},
		"seen":          {file: "list.ctl", flags: []string{"--seen", "1772352000000000000"}, want: "entries          4"},
		"older":         {file: "list.ctl", flags: []string{"--seen", "1772352000000000001"}, code: 1, want: "somebody or some cache"},
		"ran out":       {file: "list.ctl", flags: []string{"--at", "2026-03-04T00:00:00Z"}, code: 1, want: "docs/runbooks/trust-list-overdue.md"},
		"another root":  {file: "list.ctl", flags: []string{"--root", other}, code: 1, want: "is --root the root"},
		"no list":       {file: "certificates.pem", code: 1, want: "is not a trust list"},
		"tampered":      {file: tampered, code: 1, want: "import nothing from it"},
		"no such file":  {file: "none.ctl", code: 2, want: "none.ctl"},
		"no such time":  {file: "list.ctl", flags: []string{"--at", "today"}, code: 2, want: "--at"},
		"root is none":  {file: "list.ctl", flags: []string{"--root", tampered}, code: 2, want: "--root"},
		"no root given": {file: "list.ctl", flags: []string{"--root", ""}, code: 2, want: "--root"},
	} {
		t.Run(name, func(t *testing.T) {
			file := c.file
			if !filepath.IsAbs(file) {
				file = filepath.Join(listFolder, file)
			}
			var out bytes.Buffer
			cmd := command("terrace")
			cmd.SetOut(&out)
			cmd.SetErr(&out)
			cmd.SetArgs(append([]string{"trustlist", "verify", file, "--root", root, "--at", listTime}, c.flags...))
			err := cmd.Execute()
			code, said := 0, out.String()
			if err != nil {
				code, said = exitCode(err), err.Error()
			}
			if code != c.code || !strings.Contains(said, c.want) {
				t.Errorf("exit status %d, want %d; said %q, want %q", code, c.code, said, c.want)
			}
		})
	}
}

func TestTrustListVerifyWritesJSON(t *testing.T) {
	root := trustListRoot(t, 0)
	for at, valid := range map[string]bool{listTime: true, "2026-03-04T00:00:00Z": false} {
		var out bytes.Buffer
		cmd := command("terrace")
		cmd.SetOut(&out)
		cmd.SetArgs([]string{"trustlist", "verify", filepath.Join(listFolder, "list.p7b"), "--json", "--root", root, "--at", at})
		if err := cmd.Execute(); (err == nil) != valid {
			t.Errorf("at %s: %v", at, err)
		}
		var got shownTrustList
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Valid != valid || (got.Error == "") != valid || got.SequenceNumber != 1772352000000000000 || len(got.Entries) != 4 || len(got.Entries[0].SM3) != 64 {
			t.Errorf("at %s: %+v", at, got)
		}
	}
}
