package publishing_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/crl"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/publishing"
	pt "github.com/terrace-pki/terrace/internal/publishing/publishingtest"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

const (
	userCertificate = "userCertificate;binary"
	caCertificate   = "cACertificate;binary"
	deltaList       = "deltaRevocationList;binary"
	revocationList  = "certificateRevocationList;binary"
	revokedCAs      = "authorityRevocationList;binary"
)

func openStore(ctx context.Context, path string) (authority.Store, error) {
	return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
}

var id = pt.Namespace + "/" + pt.Directory

// fixture is a master that a ledger with one CA is published to.
type fixture struct {
	*pt.Ledger
	master *slapdtest.Server
	reader directory.Server
	spec   publishing.Spec
	pass   *publishing.Passwords
	svc    *publishing.Service
	stop   func()
}

func newFixture(t *testing.T, change func(*publishing.Spec)) *fixture {
	t.Helper()
	f := &fixture{Ledger: pt.NewLedger(t, openStore, id), master: slapdtest.Start(t, slapd.Master, nil)}
	f.reader = f.master.Client(t, slapdtest.Operator)
	f.spec = pt.Spec(f.master)
	if change != nil {
		change(&f.spec)
	}
	f.pass = pt.Passwords(f.spec)
	f.run(t)
	f.accept(t)
	return f
}

func (f *fixture) run(t *testing.T) {
	t.Helper()
	f.svc, f.stop = f.Publisher(t, f.pass)
}

func (f *fixture) accept(t *testing.T) {
	t.Helper()
	if err := f.svc.Accept(t.Context(), f.spec); err != nil {
		t.Fatal(err)
	}
}

// await waits for a status.
func (f *fixture) await(t *testing.T, what string, ok func(publishing.ServerStatus) bool) publishing.ServerStatus {
	t.Helper()
	var last publishing.ServerStatus
	pt.Eventually(t, 30*time.Second, what, func() error {
		s, known := f.svc.Status(id)
		if last = s; known && ok(s) {
			return nil
		}
		return fmt.Errorf("status %+v", s)
	})
	return last
}

func verifiedAfter(at time.Time) func(publishing.ServerStatus) bool {
	return func(s publishing.ServerStatus) bool { return s.VerifiedAt.After(at) }
}

func TestMasterFollowsTheLedger(t *testing.T) {
	f := newFixture(t, nil)
	ca, err := f.Authorities.CA(pt.Key)
	if err != nil {
		t.Fatal(err)
	}
	pt.Holds(t, f.reader, pt.CAEntry, caCertificate, ca.Certificate)
	records := f.Issue(t, "CN=A,O=X,C=CN", "CN=B,O=X,C=CN", "CN=C,O=X,C=CN")
	for _, r := range records {
		pt.Holds(t, f.reader, pt.CertificateEntry(r), userCertificate, r.Certificate)
	}
	list, err := f.Authorities.Publish(t.Context(), pt.Key, 0)
	if err != nil {
		t.Fatal(err)
	}
	pt.Holds(t, f.reader, pt.CAEntry, revocationList, list.DER)

	f.Perform(t, authority.VerbRevoke, records[0])
	f.Perform(t, authority.VerbHold, records[1])
	pt.Holds(t, f.reader, pt.CertificateEntry(records[0]), userCertificate, nil)
	pt.Holds(t, f.reader, pt.CertificateEntry(records[1]), userCertificate, nil)
	f.Perform(t, authority.VerbRelease, records[1])
	pt.Holds(t, f.reader, pt.CertificateEntry(records[1]), userCertificate, records[1].Certificate)
	s := f.await(t, "in step", func(s publishing.ServerStatus) bool { return s.State == publishing.InStep && s.Backlog == 0 })
	if s.DriftTotal != 0 || s.LastError != nil {
		t.Errorf("after work of our own: %+v", s)
	}
}

func TestResponderCertificatesAreNotPublished(t *testing.T) {
	f := newFixture(t, nil)
	sub := f.Order(t, "BusinessCA", "sub", "CN=Sub,C=CN")
	responder := f.Order(t, authority.KindOCSPResponder, "responder", "CN=OCSP,C=CN")
	records := f.IssueOrders(t, pt.Key, responder, sub)
	pt.Holds(t, f.reader, pt.CertificateEntry(records[1]), userCertificate, records[1].Certificate)
	if got := pt.Values(t, f.reader, pt.CertificateEntry(records[0]), userCertificate); got != nil {
		t.Error("the certificate of an OCSP responder was published")
	}
}

func TestShardedListsAndListsOfCAs(t *testing.T) {
	f := newFixture(t, nil)
	sharded := authority.IssuerKey{Authority: "BusinessCA/ns/sharded", Generation: 1}
	industry := authority.IssuerKey{Authority: "IndustryCA/ns/industry", Generation: 1}
	f.Declare(t, authority.Settings{Key: sharded, Directories: []string{id}, Shards: 2, BaseURL: "http://x.example"})
	f.Declare(t, authority.Settings{Key: industry, Directories: []string{id}, OnlyCACertificates: true})
	entry := func(k authority.IssuerKey) string { return "ou=" + k.FileName() + "," + slapdtest.Base }
	for shard := range int32(2) {
		list, err := f.Authorities.Publish(t.Context(), sharded, shard)
		if err != nil {
			t.Fatal(err)
		}
		pt.Holds(t, f.reader, fmt.Sprintf("cn=crl%d,%s", shard, entry(sharded)), revocationList, list.DER)
	}
	list, err := f.Authorities.Publish(t.Context(), industry, 0)
	if err != nil {
		t.Fatal(err)
	}
	pt.Holds(t, f.reader, entry(industry), revokedCAs, list.DER)
	if pt.Values(t, f.reader, entry(industry), revocationList) != nil || pt.Values(t, f.reader, entry(sharded), revocationList) != nil {
		t.Error("a list stands where it does not belong")
	}
}

func TestDeltasStandBesideTheirLists(t *testing.T) {
	f := newFixture(t, nil)
	sharded := authority.IssuerKey{Authority: "BusinessCA/ns/sharded", Generation: 1}
	for key, shards := range map[authority.IssuerKey]int32{pt.Key: 1, sharded: 2} {
		settings := authority.Settings{Key: key, Directories: []string{id}, Shards: shards, BaseURL: "http://x.example",
			CRLInterval: time.Hour, CRLOverlap: time.Hour, DeltaInterval: time.Minute}
		f.Declare(t, settings)
		entry := "ou=" + key.FileName() + "," + slapdtest.Base
		if shards > 1 {
			entry = "cn=crl1," + entry
		}
		full, err := f.Authorities.Publish(t.Context(), key, shards-1) // there is no base for a delta yet
		if err != nil || full.IsDelta() {
			t.Fatalf("base %d, %v, want a full list", full.Base, err)
		}
		delta, err := f.Authorities.Publish(t.Context(), key, shards-1)
		if err != nil || delta.Base != full.Number {
			t.Fatalf("base %d, %v, want a delta of %d", delta.Base, err, full.Number)
		}
		pt.Holds(t, f.reader, entry, deltaList, delta.DER)
		pt.Holds(t, f.reader, entry, revocationList, full.DER)
		if shards == 1 { // switched off, it goes
			settings.DeltaInterval = 0
			f.Declare(t, settings)
			pt.Eventually(t, 30*time.Second, "no delta", func() error {
				if pt.Values(t, f.reader, entry, deltaList) != nil {
					return errors.New("a delta is shown")
				}
				return nil
			})
			pt.Holds(t, f.reader, entry, revocationList, full.DER)
		}
	}
}

func TestLargeList(t *testing.T) {
	f := newFixture(t, nil)
	ca, err := f.Authorities.CA(pt.Key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := f.Devices.Key(t.Context(), ca.Device, ca.Label)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	template := crl.Template{Issuer: ca.Cert, Number: 1, ThisUpdate: now, NextUpdate: now.Add(time.Hour)}
	for i := range 100_000 {
		template.Entries = append(template.Entries, crl.Entry{Serial: pki.Serial(fmt.Sprintf("5A%016X", i)), At: now, Reason: pki.ReasonCessationOfOperation})
	}
	der, err := crl.Sign(signer, template)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Store.SaveCRL(t.Context(), authority.CRL{Issuer: pt.Key, Number: 1, ThisUpdate: now, NextUpdate: now.Add(time.Hour), DER: der}); err != nil {
		t.Fatal(err)
	}
	t.Logf("list of %d bytes", len(der))
	pt.Holds(t, f.reader, pt.CAEntry, revocationList, der)
}

func TestDriftIsRepairedAndCounted(t *testing.T) {
	f := newFixture(t, func(s *publishing.Spec) { s.VerifyInterval = time.Second })
	records := f.Issue(t, "CN=A,C=CN", "CN=B,C=CN", "CN=C,C=CN")
	for _, r := range records {
		pt.Holds(t, f.reader, pt.CertificateEntry(r), userCertificate, r.Certificate)
	}
	f.await(t, "first comparison", verifiedAfter(time.Time{}))
	operator := f.master.Client(t, slapdtest.Operator)
	stranger := "serialNumber=99," + pt.CAEntry
	err := operator.Apply(t.Context(), []directory.Change{
		{Kind: directory.Delete, DN: pt.CertificateEntry(records[0])},
		{Kind: directory.Modify, DN: pt.CertificateEntry(records[1]), Attributes: []directory.Attribute{{Type: "description", Values: [][]byte{[]byte("x")}}}},
		{Kind: directory.Add, DN: stranger, Attributes: []directory.Attribute{
			{Type: "objectClass", Values: [][]byte{[]byte("device")}}, {Type: "serialNumber", Values: [][]byte{[]byte("99")}}, {Type: "cn", Values: [][]byte{[]byte("x")}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := f.await(t, "three repairs", func(s publishing.ServerStatus) bool { return s.DriftTotal >= 3 })
	if s.DriftTotal != 3 {
		t.Errorf("drift %d in total, want 3", s.DriftTotal)
	}
	pt.Holds(t, f.reader, pt.CertificateEntry(records[0]), userCertificate, records[0].Certificate)
	pt.Holds(t, f.reader, pt.CertificateEntry(records[1]), "description", nil)
	pt.Holds(t, f.reader, stranger, "cn", nil)
	clean := f.await(t, "a comparison without drift", func(s publishing.ServerStatus) bool { return s.Drift == 0 })
	if clean.DriftTotal != 3 {
		t.Errorf("drift %d in total, want still 3", clean.DriftTotal)
	}
}

// What is issued and revoked while comparisons run is never taken for drift.
func TestWorkDuringComparisonsIsNoDrift(t *testing.T) {
	f := newFixture(t, func(s *publishing.Spec) { s.VerifyInterval = time.Second })
	var last authority.Record
	for i := range 60 {
		r := f.Issue(t, fmt.Sprintf("CN=W%d,C=CN", i))[0]
		if i%3 == 0 {
			f.Perform(t, authority.VerbRevoke, r)
		} else {
			last = r
		}
		time.Sleep(50 * time.Millisecond)
	}
	pt.Holds(t, f.reader, pt.CertificateEntry(last), userCertificate, last.Certificate)
	s := f.await(t, "one more comparison", verifiedAfter(time.Now()))
	if s.DriftTotal != 0 || s.LastError != nil {
		t.Errorf("status %+v, want no drift", s)
	}
}

func TestMasterDownAndRestart(t *testing.T) {
	f := newFixture(t, nil)
	first := f.Issue(t, "CN=A,C=CN")[0]
	pt.Holds(t, f.reader, pt.CertificateEntry(first), userCertificate, first.Certificate)
	f.master.Stop(t)
	records := f.Issue(t, "CN=B,C=CN", "CN=C,C=CN")
	f.Perform(t, authority.VerbRevoke, first)
	s := f.await(t, "unreachable", func(s publishing.ServerStatus) bool {
		return s.State == publishing.Unreachable && s.Backlog >= 3 && s.Lag > 0
	})
	if !errors.Is(s.LastError, directory.ErrUnavailable) {
		t.Errorf("last error %v, want ErrUnavailable", s.LastError)
	}
	f.stop() // in the middle: what waits is in the ledger
	f.Restart(t)
	f.run(t)
	records = append(records, f.Issue(t, "CN=D,C=CN")...)
	f.master.Restart(t)
	for _, r := range records {
		pt.Holds(t, f.reader, pt.CertificateEntry(r), userCertificate, r.Certificate)
	}
	pt.Holds(t, f.reader, pt.CertificateEntry(first), userCertificate, nil)
	s = f.await(t, "in step", func(s publishing.ServerStatus) bool {
		return s.State == publishing.InStep && s.Backlog == 0 && s.Lag == 0 && !s.VerifiedAt.IsZero()
	})
	if s.DriftTotal != 0 {
		t.Errorf("drift %d: what waited was taken for drift", s.DriftTotal)
	}
}

func TestWrongPassword(t *testing.T) {
	f := newFixture(t, nil)
	f.await(t, "in step", func(s publishing.ServerStatus) bool { return s.State == publishing.InStep })
	f.stop()
	f.pass.Set(f.spec.Master.Password, []byte("wrong"))
	f.run(t)
	s := f.await(t, "refused", func(s publishing.ServerStatus) bool { return s.LastError != nil })
	if !errors.Is(s.LastError, directory.ErrCredentials) || s.State != publishing.Unreachable {
		t.Errorf("status %+v, want ErrCredentials", s)
	}
	f.pass.Set(f.spec.Master.Password, []byte(slapdtest.Writer))
	f.svc.Wake(id)
	f.await(t, "in step again", func(s publishing.ServerStatus) bool { return s.State == publishing.InStep })
}

func TestPublicDirectoryWithholdsIdentities(t *testing.T) {
	f := newFixture(t, func(s *publishing.Spec) { s.Audience = directory.Public })
	records := f.Issue(t, "CN=Zhang 110101199003078515,C=CN", "CN=Device,C=CN")
	pt.Holds(t, f.reader, pt.CertificateEntry(records[1]), userCertificate, records[1].Certificate)
	if got := pt.Values(t, f.reader, pt.CertificateEntry(records[0]), userCertificate); got != nil {
		t.Error("a certificate with an identity number is public")
	}
	f.spec.Audience = directory.Business // the other way: all of it comes
	f.accept(t)
	pt.Holds(t, f.reader, pt.CertificateEntry(records[0]), userCertificate, records[0].Certificate)
	f.spec.Audience = directory.Public
	f.accept(t)
	pt.Holds(t, f.reader, pt.CertificateEntry(records[0]), userCertificate, nil)
	if s := f.await(t, "compared", verifiedAfter(time.Time{})); s.DriftTotal != 0 {
		t.Errorf("drift %d: a change of visibility was taken for drift", s.DriftTotal)
	}
}

// A CA that comes to a directory later brings its history; one that goes takes
// its entries along. Neither is drift.
func TestCAsComeAndGo(t *testing.T) {
	f := newFixture(t, nil)
	other := authority.IssuerKey{Authority: "BusinessCA/ns/other", Generation: 1}
	f.Declare(t, authority.Settings{Key: other})
	order := f.Order(t, "CertificateRequest", "old", "CN=Old,C=CN")
	old := f.IssueOrders(t, other, order)[0]
	own := f.Issue(t, "CN=A,C=CN")[0]
	pt.Holds(t, f.reader, pt.CertificateEntry(own), userCertificate, own.Certificate)
	if got := pt.Values(t, f.reader, pt.CertificateEntry(old), userCertificate); got != nil {
		t.Fatal("a CA that names no directory is published")
	}
	f.await(t, "compared", verifiedAfter(time.Time{}))
	f.Declare(t, authority.Settings{Key: other, Directories: []string{"ns/elsewhere", id}})
	pt.Holds(t, f.reader, pt.CertificateEntry(old), userCertificate, old.Certificate)
	f.Declare(t, authority.Settings{Key: other})
	pt.Holds(t, f.reader, "ou="+other.FileName()+","+slapdtest.Base, "ou", nil)
	pt.Holds(t, f.reader, pt.CertificateEntry(old), userCertificate, nil)
	f.stop()
	f.run(t) // the first comparison after a start finds nothing left to remove
	if s := f.await(t, "compared", verifiedAfter(time.Time{})); s.DriftTotal != 0 {
		t.Errorf("drift %d, want 0", s.DriftTotal)
	}
	pt.Holds(t, f.reader, pt.CertificateEntry(own), userCertificate, own.Certificate)
}

// A new master is loaded from the ledger; following the feed then writes nothing.
func TestSeed(t *testing.T) {
	l := pt.NewLedger(t, openStore, id)
	records := l.Issue(t, "CN=A,C=CN", "CN=B,C=CN")
	l.Perform(t, authority.VerbRevoke, records[1])
	if _, err := publishing.Entries(t.Context(), l.Store, id); !errors.Is(err, authority.ErrNotFound) {
		t.Errorf("of a directory that was not accepted: %v", err)
	}
	master := slapdtest.New(t, slapd.Master, nil)
	spec := pt.Spec(master)
	service, _ := l.Publisher(t, pt.Passwords(spec))
	if err := service.Accept(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	entries, err := publishing.Entries(t.Context(), l.Store, id)
	if err != nil {
		t.Fatal(err)
	}
	var ldif bytes.Buffer
	if n, err := directory.WriteLDIF(t.Context(), &ldif, entries); err != nil || n != 3 {
		t.Fatalf("%d entries, %v, want base, CA and one certificate", n, err)
	}
	if err := slapd.Load(t.Context(), master.Config, &ldif); err != nil {
		t.Fatal(err)
	}
	master.Restart(t)
	pt.Holds(t, master.Client(t, slapdtest.Reader), pt.CertificateEntry(records[0]), userCertificate, records[0].Certificate)
	service.Wake(id)
	pt.Eventually(t, 30*time.Second, "in step", func() error {
		if s, _ := service.Status(id); s.State != publishing.InStep || s.VerifiedAt.IsZero() || s.DriftTotal != 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	log := master.Client(t, slapdtest.Replicator)
	newest, err := log.Changes(t.Context(), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	// The cursor of a log without any record begins with year 1.
	if !strings.HasPrefix(string(newest.Next), "0000") {
		t.Errorf("the master's log goes to %s: it was written although it held everything", newest.Next)
	}
}

func TestLedgerFaultsLoseNothing(t *testing.T) {
	l := pt.NewLedger(t, openStore, id)
	master := slapdtest.Start(t, slapd.Master, nil)
	reader := master.Client(t, slapdtest.Operator)
	faulty := authoritytest.NewFaulty(l.Store)
	spec := pt.Spec(master)
	s := publishing.New(publishing.Config{Store: faulty, Changed: l.Authorities.Changed, Open: pt.Opener(pt.Passwords(spec))})
	if err := s.Accept(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pt.Go(func(ctx context.Context) error { return s.Run(ctx, logr.Discard()) }))
	broken := errors.New("broken")
	for i, fail := range []func(){
		func() { faulty.FailBefore("Changes", broken) },
		func() { faulty.FailBefore("SetPosition", broken) },
		func() { faulty.FailAfter("SetPosition", broken) },
		func() { faulty.FailBefore("AllAccepted", broken) },
	} {
		fail()
		r := l.Issue(t, fmt.Sprintf("CN=F%d,C=CN", i))[0]
		pt.Holds(t, reader, pt.CertificateEntry(r), userCertificate, r.Certificate)
		pt.Eventually(t, 20*time.Second, "the fault was met", func() error {
			if faulty.Pending() > 0 {
				return errors.New("pending")
			}
			return nil
		})
	}
}
