package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
	"github.com/terrace-pki/terrace/internal/store/sqlitefile"
)

// auditedLedger is one that a process issues from while the commands look at it.
type auditedLedger struct {
	path, dir string
	service   *authority.Service
	log       *authority.AuditLog
	store     authority.Store
	ca        authority.IssuerKey
}

func newAuditedLedger(t *testing.T) *auditedLedger {
	t.Helper()
	dir := t.TempDir()
	l := &auditedLedger{path: filepath.Join(dir, "ledger.db"), dir: dir, ca: authority.IssuerKey{Authority: "BusinessCA/ns/province", Generation: 1}}
	var err error
	if l.store, err = sqlite.Open(t.Context(), sqlite.Config{Path: l.path, TakeOver: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.store.Close() })
	dev, err := software.Open(software.Config{Dir: filepath.Join(dir, "keys"), Password: []byte("only for this test")})
	if err != nil {
		t.Fatal(err)
	}
	devices := device.NewRegistry()
	if err := devices.Put("ns/device", dev); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = devices.Close() })
	l.service = authority.New(authority.Config{Store: l.store, Keys: devices})
	l.log = authority.NewAuditLog(l.service, "ns/device", logr.Discard())
	_, err = authoritytest.DeclareCA(t.Context(), l.service, filepath.Join(dir, "root"), time.Now(), authority.Settings{Key: l.ca, Device: "ns/device", BaseURL: "http://v.example"})
	if err != nil {
		t.Fatal(err)
	}
	l.issue(t, "li")
	return l
}

// issue issues one certificate, revokes it and has it all signed.
func (l *auditedLedger) issue(t *testing.T, name string) pki.Serial {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := pki.ParseName("CN=" + name + ",O=Test,C=CN")
	if err != nil {
		t.Fatal(err)
	}
	out, err := l.service.Issue(t.Context(), l.ca, []authority.Order{{Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "ns", Name: name},
		Profile: pki.Profile{Name: "person", KeyUsage: pki.KeyUsagesSigning, Validity: 24 * time.Hour, Backdate: time.Minute}, Subject: subject, PublicKey: &key.PublicKey}})
	if err != nil || out[0].Err != nil {
		t.Fatal(err, out)
	}
	serial := out[0].Record.Serial
	_, err = l.service.Perform(t.Context(), authority.Act{Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "ns", Name: name}, Issuer: l.ca, Serial: serial,
		Verb: authority.VerbRevoke, Reason: pki.ReasonKeyCompromise, At: time.Now(), Operator: "wang"})
	if err := errors.Join(err, l.log.Step(t.Context()), l.log.Step(t.Context())); err != nil { // the first makes the key, which is a leaf
		t.Fatal(err)
	}
	return serial
}

func (l *auditedLedger) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := command("terrace")
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	cmd.SetArgs(append([]string{"audit", args[0], "--ledger", "sqlite:" + l.path}, args[1:]...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func (l *auditedLedger) mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := l.run(t, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

func (l *auditedLedger) file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// person makes the key files of an auditor.
func (l *auditedLedger) person(t *testing.T, name string) (private, public string) {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := smx509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := pki.MarshalSPKI(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return l.file(t, name+".pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		l.file(t, name+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
}

func TestAuditCommands(t *testing.T) {
	l := newAuditedLedger(t)
	keys := l.mustRun(t, "keys")
	if !strings.HasPrefix(keys, "# terrace/AuditLog/ns/device/g1\n-----BEGIN PUBLIC KEY-----") {
		t.Errorf("keys: %s", keys)
	}
	keyFile := l.file(t, "audit.pub", []byte(keys))
	newest, err := l.store.AuditCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(newest.Text()) }))
	t.Cleanup(node.Close)
	serial := l.issue(t, "zhao")

	private, public := l.person(t, "auditor")
	if out := l.mustRun(t, "mark", "--auditor", "sun", "--key", private, "--to", "3", "--note", "looked at"); !strings.Contains(out, "leaves 1 to 3 are marked as audited by sun") {
		t.Errorf("mark: %s", out)
	}
	out := l.mustRun(t, "verify", "--checkpoint", node.URL, "--checkpoint", l.file(t, "kept", newest.Text()), "--audit-key", keyFile, "--person", "sun="+public)
	if !strings.Contains(out, "2 from elsewhere, 1 marks: all is as it was recorded") {
		t.Errorf("verify: %s", out)
	}
	var report audit.Report
	if err := json.Unmarshal([]byte(l.mustRun(t, "verify", "--json")), &report); err != nil || !report.OK() || report.Leaves < 8 {
		t.Errorf("verify --json: %+v, %v", report, err)
	}

	for name, tc := range map[string]struct {
		args []string
		want []string // of each line
	}{
		"serial":   {[]string{"--serial", strings.ToLower(string(serial))}, []string{"intent", "issue", "revoke"}},
		"operator": {[]string{"--operator", "wang", "--since", "1h"}, []string{"revoke", "revoke"}},
		"auditor":  {[]string{"--act", "mark", "--result", "done"}, []string{"by sun"}},
		"limit":    {[]string{"--limit", "2"}, []string{"takeover  done  process/1", "audited by sun"}},
		"nothing":  {[]string{"--until", "2020-01-01"}, nil},
		"refused":  {[]string{"--result", "refused"}, nil},
	} {
		lines := strings.Split(strings.TrimSuffix(l.mustRun(t, append([]string{"search"}, tc.args...)...), "\n"), "\n")
		if lines[0] == "" {
			lines = nil
		}
		if len(lines) != len(tc.want) {
			t.Errorf("search by %s: %q, want %d lines", name, lines, len(tc.want))
			continue
		}
		for i, want := range tc.want {
			if !strings.Contains(lines[i], want) {
				t.Errorf("search by %s: line %q, want %q in it", name, lines[i], want)
			}
		}
	}
	for _, args := range [][]string{{"search", "--serial", "xyz"}, {"search", "--result", "maybe"}, {"search", "--limit", "0"}, {"search", "--since", "soon"},
		{"verify", "--checkpoint", private}, {"verify", "--audit-key", private}, {"verify", "--person", "sun"}, {"mark", "--auditor", "x", "--key", public}} {
		if _, err := l.run(t, args...); err == nil || errors.Is(err, errFindings) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// An export is checked by whoever has it: nothing else is needed.
func TestAuditExport(t *testing.T) {
	l := newAuditedLedger(t)
	lines := strings.Split(strings.TrimSuffix(l.mustRun(t, "export", "--after", "1"), "\n"), "\n")
	var header audit.Header
	if err := json.Unmarshal([]byte(lines[0]), &header); err != nil {
		t.Fatal(err)
	}
	signed, err := audit.ParseSigned([]byte(header.Checkpoint))
	if err != nil || len(header.Keys) != 1 {
		t.Fatal(err, header)
	}
	pub, err := pki.ParseSM2SPKI(header.Keys[0])
	if err != nil || signed.Verify(pub) != nil {
		t.Fatal(err, "checkpoint of the export does not verify")
	}
	if int64(len(lines)-1) != signed.Size-1 {
		t.Fatalf("%d leaves after 1 of %d", len(lines)-1, signed.Size)
	}
	for i, text := range lines[1:] {
		var line audit.Line
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		leaf := audit.Leaf{Seq: line.Seq, At: line.At.UnixMicro(), Act: line.Act, Subject: line.Subject, Detail: string(line.Detail)}
		var proof []audit.Hash
		for _, h := range line.Proof {
			b, err := hex.DecodeString(h)
			if err != nil {
				t.Fatal(err)
			}
			proof = append(proof, audit.Hash(b))
		}
		if line.Seq != int64(i+2) || leaf.Hash().String() != line.Hash {
			t.Errorf("line %d: leaf %d with hash %s, computed %s", i, line.Seq, line.Hash, leaf.Hash())
		}
		if err := audit.VerifyInclusion(leaf.Hash(), line.Seq, signed.Size, signed.Root, proof); err != nil {
			t.Error(err)
		}
	}
	file := filepath.Join(l.dir, "export.jsonl")
	l.mustRun(t, "export", "--out", file)
	if b, err := os.ReadFile(file); err != nil || bytes.Count(b, []byte("\n")) != int(signed.Size)+1 {
		t.Errorf("file: %v", err)
	}
	if _, err := l.run(t, "export", "--out", file); err == nil {
		t.Error("an export writes over a file")
	}
}

func TestAuditVerifyFinds(t *testing.T) {
	l := newAuditedLedger(t)
	db := sqlitefile.Writer(l.path, 1024)
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec(`UPDATE acts SET operator = 'somebody else'`); err != nil {
		t.Fatal(err)
	}
	out, err := l.run(t, "verify")
	if !errors.Is(err, errFindings) || !strings.Contains(out, "the row of act CertificateRevocation/ns/li was changed") {
		t.Errorf("%v: %s", err, out)
	}
	private, _ := l.person(t, "auditor")
	if out, err := l.run(t, "mark", "--auditor", "sun", "--key", private); !errors.Is(err, errFindings) {
		t.Errorf("a ledger with findings is marked: %v: %s", err, out)
	}
}
