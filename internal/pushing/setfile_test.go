package pushing_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/authority"
	pt "github.com/terrace-pki/terrace/internal/publishing/publishingtest"
	"github.com/terrace-pki/terrace/internal/pushing"
)

// gap is a master on one side and a slave on the other.
type gap struct {
	*pt.Ledger
	master, slave *slapdtest.Server
	onMaster, far directory.Server
	key           *sm2.PrivateKey
	export        pushing.ExportConfig
	imported      pushing.ImportConfig
	cursor        directory.Cursor // of logged
}

func newGap(t *testing.T) *gap {
	t.Helper()
	g := &gap{Ledger: pt.NewLedger(t, openStore, id), master: slapdtest.Start(t, slapd.Master, nil), slave: slapdtest.Start(t, slapd.Slave, nil)}
	spec := pt.Spec(g.master)
	publisher, _ := g.Publisher(t, pt.Passwords(spec))
	if err := publisher.Accept(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	var err error
	if g.key, err = sm2.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	g.onMaster, g.far = g.master.Client(t, slapdtest.Operator), g.slave.Client(t, slapdtest.Writer)
	reader := g.master.Client(t, slapdtest.Replicator)
	pt.Eventually(t, 20*time.Second, "the master is filled, and the CA's entry in its log", func() error {
		if root, err := g.onMaster.Get(t.Context(), []string{slapdtest.Base}); err != nil || !directory.IsFilled(root[0]) {
			return errors.Join(errors.New("not filled"), err)
		}
		newest, err := reader.Changes(t.Context(), "", 1)
		if err != nil {
			t.Fatal(err)
		}
		if g.cursor = newest.Next; pt.Values(t, g.onMaster, pt.CAEntry, "ou") == nil || strings.HasPrefix(string(g.cursor), "0000") {
			return errors.New("not yet")
		}
		return nil
	})
	clock := time.Now()
	g.export = pushing.ExportConfig{Master: reader, Signer: g.key, Directory: id, Base: slapdtest.Base,
		StateFile: filepath.Join(t.TempDir(), "export.json"), Dir: t.TempDir(), Now: func() time.Time { clock = clock.Add(time.Second); return clock }}
	g.imported = pushing.ImportConfig{Slave: g.far, Key: &g.key.PublicKey, Directory: id, StateFile: filepath.Join(t.TempDir(), "import.json")}
	return g
}

func (g *gap) issue(t *testing.T, subject string) authority.Record {
	t.Helper()
	r := g.Issue(t, subject)[0]
	pt.Holds(t, g.onMaster, pt.CertificateEntry(r), userCertificate, r.Certificate)
	g.logged(t, pt.CertificateEntry(r))
	return r
}

// logged waits until the master's log tells of an entry, which it does just
// after the change can be read.
func (g *gap) logged(t *testing.T, dn string) {
	t.Helper()
	pt.Eventually(t, 10*time.Second, "log record of "+dn, func() error {
		log, err := g.export.Master.Changes(t.Context(), g.cursor, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(log.DNs, dn) {
			return fmt.Errorf("log has %q", log.DNs)
		}
		g.cursor = log.Next
		return nil
	})
}

func (g *gap) next(t *testing.T) string {
	t.Helper()
	path, n, err := pushing.Export(t.Context(), g.export)
	if err != nil || path == "" || n == 0 {
		t.Fatalf("export: %q with %d records, %v", path, n, err)
	}
	return path
}

func (g *gap) take(t *testing.T, paths ...string) int {
	t.Helper()
	sets, _, err := pushing.Import(t.Context(), g.imported, paths)
	if err != nil {
		t.Fatal(err)
	}
	return sets
}

func TestAcrossAGap(t *testing.T) {
	g := newGap(t)
	first := g.issue(t, "CN=A,C=CN")
	one := g.next(t)
	if path, _, err := pushing.Export(t.Context(), g.export); err != nil || path != "" {
		t.Errorf("an export without changes: %q, %v", path, err)
	}
	second := g.issue(t, "CN=B,C=CN")
	g.Perform(t, authority.VerbRevoke, first)
	g.logged(t, pt.CertificateEntry(first))
	two := g.next(t)
	if got := g.take(t, two, one); got != 2 { // whatever the order of the arguments
		t.Errorf("%d sets applied, want 2", got)
	}
	pt.Holds(t, g.far, pt.CertificateEntry(second), userCertificate, second.Certificate)
	pt.Holds(t, g.far, pt.CertificateEntry(first), userCertificate, nil)
	if got := g.take(t, one, two); got != 0 {
		t.Errorf("again: %d sets applied, want 0", got)
	}
	lost := g.issue(t, "CN=C,C=CN")
	if err := os.Remove(g.next(t)); err != nil {
		t.Fatal(err)
	}
	g.issue(t, "CN=D,C=CN")
	four := g.next(t)
	if _, _, err := pushing.Import(t.Context(), g.imported, []string{four}); !errors.Is(err, directory.ErrGap) {
		t.Errorf("a set after one that is missing: %v, want ErrGap", err)
	}
	g.export.Complete = true
	g.take(t, g.next(t))
	pt.Holds(t, g.far, pt.CertificateEntry(lost), userCertificate, lost.Certificate)
}

func TestForgedSetIsRefused(t *testing.T) {
	g := newGap(t)
	g.issue(t, "CN=A,C=CN")
	path := g.next(t)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte("cn: A"), []byte("cn: Z"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if sets, _, err := pushing.Import(t.Context(), g.imported, []string{path}); err == nil || sets != 0 {
		t.Errorf("a changed set: %d applied, %v", sets, err)
	}
	if got := pt.Values(t, g.far, pt.CAEntry, "ou"); got != nil {
		t.Error("a refused set changed the slave")
	}
}

// A process that died after it wrote its state left the set under its
// temporary name: the next export gives it its own.
func TestExportAfterACrash(t *testing.T) {
	g := newGap(t)
	g.issue(t, "CN=A,C=CN")
	one := g.next(t)
	if err := os.Rename(one, filepath.Join(g.export.Dir, "."+filepath.Base(one)+".partial")); err != nil {
		t.Fatal(err)
	}
	r := g.issue(t, "CN=B,C=CN")
	two := g.next(t)
	if got := g.take(t, one, two); got != 2 {
		t.Errorf("%d sets applied, want 2", got)
	}
	pt.Holds(t, g.far, pt.CertificateEntry(r), userCertificate, r.Certificate)
}

func TestLoadANewSlave(t *testing.T) {
	g := newGap(t)
	r := g.issue(t, "CN=A,C=CN")
	var ldif bytes.Buffer
	n, err := directory.WriteLDIF(t.Context(), &ldif, pushing.Load(g.export.Master, slapdtest.Base))
	if err != nil || n != 3 {
		t.Fatalf("%d entries, %v, want base, CA and certificate", n, err)
	}
	fresh := slapdtest.New(t, slapd.Slave, nil)
	if err := slapd.Load(t.Context(), fresh.Config, &ldif); err != nil {
		t.Fatal(err)
	}
	fresh.Restart(t)
	pt.Holds(t, fresh.Client(t, slapdtest.Reader), pt.CertificateEntry(r), userCertificate, r.Certificate)
}
