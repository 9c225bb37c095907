package pushing_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/publishing"
	pt "github.com/terrace-pki/terrace/internal/publishing/publishingtest"
	"github.com/terrace-pki/terrace/internal/pushing"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

const (
	userCertificate = "userCertificate;binary"
	revocationList  = "certificateRevocationList;binary"
)

func openStore(ctx context.Context, path string) (authority.Store, error) {
	return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
}

var id = pt.Namespace + "/" + pt.Directory

// fixture is all of the way: ledger, master, two slaves.
type fixture struct {
	*pt.Ledger
	master  *slapdtest.Server
	slaves  []*slapdtest.Server
	readers []directory.Server // of master and slaves
	spec    publishing.Spec    // of the pusher
	pass    *publishing.Passwords
	state   string
	svc     *pushing.Service
	stop    func()
}

func newFixture(t *testing.T, verify time.Duration) *fixture {
	t.Helper()
	f := &fixture{Ledger: pt.NewLedger(t, openStore, id), master: slapdtest.Start(t, slapd.Master, nil), state: t.TempDir()}
	f.readers = append(f.readers, f.master.Client(t, slapdtest.Operator))
	for range 2 {
		s := slapdtest.Start(t, slapd.Slave, nil)
		f.slaves = append(f.slaves, s)
		f.readers = append(f.readers, s.Client(t, slapdtest.Reader))
	}
	written := pt.Spec(f.master)
	publisher, _ := f.Publisher(t, pt.Passwords(written))
	if err := publisher.Accept(t.Context(), written); err != nil {
		t.Fatal(err)
	}
	f.spec = pt.Spec(f.master, f.slaves...)
	f.spec.Master = pt.Server("master", slapdtest.Replicator, f.master)
	f.spec.VerifyInterval = verify
	f.pass = pt.Passwords(f.spec)
	f.run(t)
	if err := f.svc.Accept(f.spec); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) run(t *testing.T) {
	t.Helper()
	s, err := pushing.Open(pushing.Config{Dir: f.state, Open: pt.Opener(f.pass), Interval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	f.svc, f.stop = s, pt.Go(func(ctx context.Context) error { return s.Run(ctx, logr.Discard()) })
	t.Cleanup(f.stop)
}

// everywhere waits until master and both slaves show the same bytes.
func (f *fixture) everywhere(t *testing.T, dn, attribute string, want []byte) {
	t.Helper()
	for _, r := range f.readers {
		pt.Holds(t, r, dn, attribute, want)
	}
}

func (f *fixture) await(t *testing.T, slave int, what string, ok func(publishing.ServerStatus) bool) publishing.ServerStatus {
	t.Helper()
	var last publishing.ServerStatus
	pt.Eventually(t, 30*time.Second, what, func() error {
		all, _ := f.svc.Status(id)
		if len(all) != len(f.slaves) {
			return errors.New("no status")
		}
		if last = all[slave]; ok(last) {
			return nil
		}
		return fmt.Errorf("status %+v", last)
	})
	return last
}

func inStep(s publishing.ServerStatus) bool { return s.State == publishing.InStep && s.Backlog == 0 }

func TestFromLedgerToSlaves(t *testing.T) {
	f := newFixture(t, time.Hour)
	records := f.Issue(t, "CN=A,O=X,C=CN", "CN=B,O=X,C=CN", "CN=C,O=X,C=CN")
	for _, r := range records {
		f.everywhere(t, pt.CertificateEntry(r), userCertificate, r.Certificate)
	}
	f.Perform(t, authority.VerbRevoke, records[0])
	f.everywhere(t, pt.CertificateEntry(records[0]), userCertificate, nil)
	f.Perform(t, authority.VerbHold, records[1])
	f.everywhere(t, pt.CertificateEntry(records[1]), userCertificate, nil)
	f.Perform(t, authority.VerbRelease, records[1])
	f.everywhere(t, pt.CertificateEntry(records[1]), userCertificate, records[1].Certificate)
	list, err := f.Authorities.Publish(t.Context(), pt.Key, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.everywhere(t, pt.CAEntry, revocationList, list.DER)
	for i := range f.slaves {
		if s := f.await(t, i, "in step", inStep); s.DriftTotal != 0 || s.LastError != nil {
			t.Errorf("slave %d: %+v", i+1, s)
		}
	}
}

func TestSlaveDownDoesNotHoldUpTheOther(t *testing.T) {
	f := newFixture(t, time.Hour)
	first := f.Issue(t, "CN=A,C=CN")[0]
	f.everywhere(t, pt.CertificateEntry(first), userCertificate, first.Certificate)
	f.slaves[0].Stop(t)
	f.Perform(t, authority.VerbRevoke, first)
	second := f.Issue(t, "CN=B,C=CN")[0]
	pt.Holds(t, f.readers[2], pt.CertificateEntry(second), userCertificate, second.Certificate)
	pt.Holds(t, f.readers[2], pt.CertificateEntry(first), userCertificate, nil)
	s := f.await(t, 0, "unreachable", func(s publishing.ServerStatus) bool { return s.State == publishing.Unreachable })
	if !errors.Is(s.LastError, directory.ErrUnavailable) || errors.Is(s.LastError, pushing.ErrMaster) {
		t.Errorf("last error %v, want the slave's ErrUnavailable", s.LastError)
	}
	f.stop() // the pusher's host restarts as well
	f.run(t)
	f.slaves[0].Restart(t)
	f.everywhere(t, pt.CertificateEntry(second), userCertificate, second.Certificate)
	f.everywhere(t, pt.CertificateEntry(first), userCertificate, nil)
	if s := f.await(t, 0, "in step", inStep); s.DriftTotal != 0 {
		t.Errorf("drift %d: what waited was taken for drift", s.DriftTotal)
	}
}

func TestMasterDownIsNotTheSlavesFault(t *testing.T) {
	f := newFixture(t, time.Hour)
	f.await(t, 0, "in step", inStep)
	f.master.Stop(t)
	s := f.await(t, 0, "an error", func(s publishing.ServerStatus) bool { return s.LastError != nil })
	if s.State != publishing.CatchingUp || !errors.Is(s.LastError, pushing.ErrMaster) {
		t.Errorf("status %+v, want CatchingUp for the master", s)
	}
	f.master.Restart(t)
	r := f.Issue(t, "CN=A,C=CN")[0]
	f.everywhere(t, pt.CertificateEntry(r), userCertificate, r.Certificate)
}

func TestDriftOfASlave(t *testing.T) {
	f := newFixture(t, time.Second)
	records := f.Issue(t, "CN=A,C=CN", "CN=B,C=CN")
	for _, r := range records {
		f.everywhere(t, pt.CertificateEntry(r), userCertificate, r.Certificate)
	}
	f.await(t, 0, "in step", inStep)
	intruder := f.slaves[0].Client(t, slapdtest.Writer)
	err := intruder.Apply(t.Context(), []directory.Change{
		{Kind: directory.Delete, DN: pt.CertificateEntry(records[0])},
		{Kind: directory.Modify, DN: pt.CertificateEntry(records[1]), Attributes: []directory.Attribute{{Type: "description", Values: [][]byte{[]byte("x")}}}}})
	if err != nil {
		t.Fatal(err)
	}
	s := f.await(t, 0, "two repairs", func(s publishing.ServerStatus) bool { return s.DriftTotal >= 2 })
	f.everywhere(t, pt.CertificateEntry(records[0]), userCertificate, records[0].Certificate)
	f.everywhere(t, pt.CertificateEntry(records[1]), "description", nil)
	f.svc.Wake(id) // connects anew and counts on
	s = f.await(t, 0, "a comparison after it", func(n publishing.ServerStatus) bool { return n.VerifiedAt.After(s.VerifiedAt) && n.Drift == 0 })
	if s.DriftTotal != 2 {
		t.Errorf("drift %d in total, want 2", s.DriftTotal)
	}
	if other := f.await(t, 1, "in step", inStep); other.DriftTotal != 0 {
		t.Errorf("the other slave has drift %d", other.DriftTotal)
	}
}

func TestWrongPasswordOfASlave(t *testing.T) {
	f := newFixture(t, time.Hour)
	f.await(t, 0, "in step", inStep)
	f.pass.Set(f.spec.Slaves[0].Password, []byte("wrong"))
	f.svc.Wake(id)
	s := f.await(t, 0, "refused", func(s publishing.ServerStatus) bool { return s.LastError != nil })
	if !errors.Is(s.LastError, directory.ErrCredentials) || s.State != publishing.Unreachable {
		t.Errorf("status %+v, want ErrCredentials", s)
	}
	f.await(t, 1, "in step", inStep)
	f.pass.Set(f.spec.Slaves[0].Password, []byte(slapdtest.Writer))
	f.svc.Wake(id)
	f.await(t, 0, "in step again", inStep)
}

// Without the API server a restart needs the state folder and password files.
func TestStartWithoutTheAPI(t *testing.T) {
	f := newFixture(t, time.Hour)
	f.await(t, 0, "in step", inStep)
	f.stop()
	passwords := t.TempDir()
	for _, s := range append([]publishing.Server{f.spec.Master}, f.spec.Slaves...) {
		if err := os.WriteFile(filepath.Join(passwords, s.Password.FileName()), []byte(s.Password.Key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.pass = publishing.NewPasswords(passwords)
	f.run(t) // nothing is accepted by this one
	r := f.Issue(t, "CN=A,C=CN")[0]
	f.everywhere(t, pt.CertificateEntry(r), userCertificate, r.Certificate)
	err := filepath.WalkDir(f.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAcceptRefuses(t *testing.T) {
	s, err := pushing.Open(pushing.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	good := publishing.Server{Name: "master", URL: "ldaps://m.example"}
	spec := publishing.Spec{Namespace: "ns", Name: "d", Base: "dc=cn", Naming: directory.NamingSerial, Audience: directory.Business, Master: good, VerifyInterval: time.Hour}
	if err := s.Accept(spec); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*publishing.Spec){
		"plain LDAP":     func(s *publishing.Spec) { s.Master.URL = "ldap://m.example" },
		"a path":         func(s *publishing.Spec) { s.Master.URL = "ldaps://m.example/x" },
		"same name":      func(s *publishing.Spec) { s.Slaves = []publishing.Server{good} },
		"no naming":      func(s *publishing.Spec) { s.Naming = "" },
		"no audience":    func(s *publishing.Spec) { s.Audience = "" },
		"base":           func(s *publishing.Spec) { s.Base = "x" },
		"short interval": func(s *publishing.Spec) { s.VerifyInterval = 0 },
		"no name":        func(s *publishing.Spec) { s.Name = "" },
	} {
		bad := spec
		change(&bad)
		if err := s.Accept(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Two directories must not push to one place; one whose object is gone is retired.
func TestOverlappingDirectories(t *testing.T) {
	f := newFixture(t, time.Hour)
	f.await(t, 0, "in step", inStep)
	other := f.spec
	other.Name = "other"
	var overlap *publishing.OverlapError
	if err := f.svc.Accept(other); !errors.As(err, &overlap) || overlap.Namespace+"/"+overlap.Name != id {
		t.Fatalf("accept: got %v, want an overlap with %s", err, id)
	}
	if err := f.svc.Retire(id); err != nil {
		t.Fatal(err)
	}
	if err := f.svc.Accept(other); err != nil {
		t.Fatal(err)
	}
	pt.Eventually(t, 20*time.Second, "the other is pushed, the retired one not", func() error {
		if _, ok := f.svc.Status(id); ok {
			return errors.New("retired one is pushed")
		}
		if all, ok := f.svc.Status(other.ID()); !ok || !inStep(all[0]) {
			return fmt.Errorf("status %+v", all)
		}
		return nil
	})
	f.stop()
	f.run(t)
	if err := f.svc.Accept(other); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// While a master that was emptied is filled again, slaves are compared with it all
// the time, and lose nothing.
func TestSlavesKeepWhatAnEmptiedMasterLacks(t *testing.T) {
	f := newFixture(t, time.Second)
	var records []authority.Record
	for part := range 4 {
		var subjects []string
		for i := range 250 {
			subjects = append(subjects, fmt.Sprintf("CN=P%d-%d,C=CN", part, i))
		}
		records = append(records, f.Issue(t, subjects...)...)
	}
	count := func(r directory.Server) int {
		n := 0
		if err := r.Walk(t.Context(), slapdtest.Base, func(directory.Entry) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	all := len(records) + 2 // base and CA
	pt.Eventually(t, 60*time.Second, "all on the slaves", func() error {
		if a, b := count(f.slaves[0].Client(t, slapdtest.Writer)), count(f.slaves[1].Client(t, slapdtest.Writer)); a != all || b != all {
			return fmt.Errorf("%d and %d of %d", a, b, all)
		}
		return nil
	})
	slave := f.slaves[0].Client(t, slapdtest.Writer)
	f.await(t, 0, "in step", inStep)
	f.master.Empty(t)
	late := f.Issue(t, "CN=Late,C=CN")[0] // terrace ca then notices
	looks := 0
	pt.Eventually(t, 60*time.Second, "filled again", func() error {
		looks++
		if n := count(slave); n < all {
			t.Fatalf("the slave has %d of %d entries while the master is filled", n, all)
		}
		if n := count(f.readers[0]); n != all+1 {
			return fmt.Errorf("the master has %d of %d entries", n, all+1)
		}
		return nil
	})
	if looks < 2 {
		t.Error("the master was never seen without its entries: the test shows nothing")
	}
	pt.Holds(t, slave, pt.CertificateEntry(late), userCertificate, late.Certificate)
	s := f.await(t, 0, "in step again", inStep)
	if s.LastError != nil || s.DriftTotal != 0 {
		t.Errorf("status %+v, want neither an error nor drift", s)
	}
}
