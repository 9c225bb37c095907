package directory_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/crl"
	"github.com/terrace-pki/terrace/internal/pki"
)

// field is a master with a publisher, and two slaves with a pusher.
type field struct {
	master    *slapdtest.Server
	slaves    [2]*slapdtest.Server
	publisher *directory.Publisher
	pusher    *directory.Pusher
	cursors   directory.Cursors
	// behind our back:
	operator directory.Server    // on the master
	edit     [2]directory.Server // on the slaves
}

func newField(t *testing.T) *field {
	t.Helper()
	f := &field{master: slapdtest.Start(t, slapd.Master, nil), cursors: cursorMap{}}
	for i := range f.slaves {
		f.slaves[i] = slapdtest.Start(t, slapd.Slave, func(c *slapd.Config) {
			c.MasterURL, c.Anonymous = f.master.Process.URL(), slapd.AnonymousByName
		})
		f.edit[i] = f.slaves[i].Client(t, slapdtest.Writer)
	}
	f.publisher = directory.NewPublisher(newLayout(t, directory.NamingSerial, directory.Business), f.master.Client(t, slapdtest.Writer))
	f.operator = f.master.Client(t, slapdtest.Operator)
	f.newPusher(t)
	return f
}

type cursorMap map[string]directory.Cursor

func (m cursorMap) Load(slave string) (directory.Cursor, error) { return m[slave], nil }
func (m cursorMap) Save(slave string, c directory.Cursor) error { m[slave] = c; return nil }

func (f *field) newPusher(t *testing.T) {
	t.Helper()
	master := f.master.Client(t, slapdtest.Replicator)
	config := directory.PusherConfig{Base: base, Master: master, MasterConnections: master.Connections, Cursors: f.cursors, Interval: 20 * time.Millisecond}
	for i, s := range f.slaves {
		slave := s.Client(t, slapdtest.Writer)
		config.Slaves = append(config.Slaves, directory.Slave{Name: fmt.Sprintf("slave-%d", i+1), Server: slave, Connections: slave.Connections})
	}
	var err error
	if f.pusher, err = directory.NewPusher(config); err != nil {
		t.Fatal(err)
	}
}

// publish also has a master that was empty compared, as terrace ca does, so that it is marked as filled.
func (f *field) publish(t *testing.T, batch ...directory.Publication) directory.Published {
	t.Helper()
	n, err := f.publisher.Publish(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if n.Base {
		if _, err := f.publisher.Audit(t.Context(), desired(batch...)); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// desired is what a ledger says that has these publications.
func desired(all ...directory.Publication) directory.Desired {
	return func(_ context.Context, yield func(directory.Publication) error) error {
		for _, p := range all {
			if err := yield(p); err != nil {
				return err
			}
		}
		return nil
	}
}

func (f *field) push(t *testing.T) {
	t.Helper()
	for _, s := range f.pusher.Status() {
		if err := f.pusher.Push(t.Context(), s.Name); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *field) compare(t *testing.T) {
	t.Helper()
	for _, s := range f.pusher.Status() {
		if err := f.pusher.Compare(t.Context(), s.Name); err != nil {
			t.Fatal(err)
		}
	}
}

// dump is everything below the base: DN to digest of the attributes.
func dump(t *testing.T, s directory.Server) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := s.Walk(t.Context(), base, func(e directory.Entry) error {
		key, err := directory.NormalizeDN(e.DN)
		h := sha256.New()
		for _, a := range e.Attributes {
			fmt.Fprintf(h, "%s %d ", a.Type, len(a.Values))
			for _, v := range a.Values {
				fmt.Fprintf(h, "%d %x ", len(v), v)
			}
		}
		m[key] = fmt.Sprintf("%x", h.Sum(nil)[:8])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (f *field) same(t *testing.T) {
	t.Helper()
	master := dump(t, f.operator)
	for i, s := range f.edit {
		if diff := cmp.Diff(master, dump(t, s)); diff != "" {
			t.Errorf("slave-%d: %s", i+1, diff)
		}
	}
}

// ldapsearch asks as a stranger would, with OpenLDAP's client, for the DER.
func ldapsearch(t *testing.T, s *slapdtest.Server, account, dn string) ([]byte, error) {
	t.Helper()
	args := []string{"-LLL", "-x", "-o", "ldif-wrap=no", "-H", s.Process.URL(), "-s", "base", "-b", dn, "-t", "-T", t.TempDir(), "userCertificate;binary"}
	if account != "" {
		args = append(args, "-D", slapd.AccountDN(account), "-w", account)
	}
	cmd := exec.Command("ldapsearch", args...)
	cmd.Env = []string{"LDAPTLS_CACERT=" + s.Config.CAFile, "PATH=/usr/bin"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("ldapsearch: %w: %s (apt-get install ldap-utils)", err, out)
	}
	_, file, ok := strings.Cut(string(out), "file://")
	if !ok {
		return nil, fmt.Errorf("no certificate in %s", out)
	}
	return exec.Command("cat", strings.TrimSpace(file)).Output()
}

func signCRL(t testing.TB, ca *directorytest.CA, entries int) []byte {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	template := crl.Template{Issuer: ca.Certificate, Number: now.UnixNano(), ThisUpdate: now, NextUpdate: now.Add(time.Hour)}
	for i := range entries {
		template.Entries = append(template.Entries, crl.Entry{Serial: directorytest.Serial(i + 1), At: now, Reason: pki.ReasonKeyCompromise})
	}
	der, err := crl.Sign(ca.Key, template)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
