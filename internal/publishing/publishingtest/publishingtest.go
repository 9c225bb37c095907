// Package publishingtest gives tests a ledger with a CA, and the services that
// bring it to real directory servers. Only tests import it.
package publishingtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/ldap"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/publishing"
)

// Names of what every Ledger has.
const (
	Namespace = "ns"
	Directory = "directory"
	deviceID  = "ns/device"
)

// Key is the CA of every Ledger; CAEntry the DN of its entry.
var (
	Key     = authority.IssuerKey{Authority: "BusinessCA/ns/people", Generation: 1}
	CAEntry = "ou=" + Key.FileName() + "," + slapdtest.Base
)

// StoreOpener opens the ledger in a file and takes it over. The test names the
// adapter: no package but app may, this one included.
type StoreOpener func(ctx context.Context, path string) (authority.Store, error)

// Ledger is the facts of a process and what works on them.
type Ledger struct {
	Store       authority.Store
	Authorities *authority.Service
	Devices     *device.Registry

	openStore  StoreOpener
	dir        string
	subscriber *sm2.PrivateKey
	acts       int
	stop       func()
}

// NewLedger has a CA, which publishes in the given directories.
func NewLedger(t testing.TB, open StoreOpener, directories ...string) *Ledger {
	t.Helper()
	dir := t.TempDir()
	keys, err := software.Open(software.Config{Dir: filepath.Join(dir, "keys"), Password: []byte("test")})
	if err != nil {
		t.Fatal(err)
	}
	l := &Ledger{openStore: open, dir: dir, Devices: device.NewRegistry()}
	if err := l.Devices.Put(deviceID, keys); err != nil {
		t.Fatal(err)
	}
	if l.subscriber, err = sm2.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	l.open(t)
	l.Declare(t, authority.Settings{Key: Key, Directories: directories})
	return l
}

func (l *Ledger) open(t testing.TB) {
	t.Helper()
	store, err := l.openStore(context.Background(), filepath.Join(l.dir, "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	l.Store = store
	l.Authorities = authority.New(authority.Config{Store: store, Keys: l.Devices})
	if err := l.Authorities.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	stop := Go(func(ctx context.Context) error { return l.Authorities.WatchLedger(ctx, logr.Discard()) })
	l.stop = func() {
		stop()
		_ = store.Close()
	}
	t.Cleanup(func() { l.stop() })
}

// Restart ends the process's work on the ledger and begins anew.
func (l *Ledger) Restart(t testing.TB) {
	t.Helper()
	l.stop()
	l.open(t)
}

// Declare makes settings those of a CA, as its controller does.
func (l *Ledger) Declare(t testing.TB, s authority.Settings) {
	t.Helper()
	s.Device = deviceID
	if _, err := authoritytest.DeclareCA(context.Background(), l.Authorities, filepath.Join(l.dir, "root"), time.Now(), s); err != nil {
		t.Fatal(err)
	}
}

// Order asks for a subscriber's certificate.
func (l *Ledger) Order(t testing.TB, kind, name, subject string) authority.Order {
	t.Helper()
	parsed, err := pki.ParseName(subject)
	if err != nil {
		t.Fatal(err)
	}
	return authority.Order{Identity: authority.Identity{Kind: kind, Namespace: Namespace, Name: name, Digest: sm3.Sum([]byte(name))},
		Profile: pki.Profile{Name: "person", KeyUsage: pki.KeyUsagesSigning, Validity: 24 * time.Hour, Backdate: time.Minute},
		Subject: parsed, PublicKey: &l.subscriber.PublicKey}
}

// Issue issues a certificate of the CA for each subject; its name in the ledger
// is the subject.
func (l *Ledger) Issue(t testing.TB, subjects ...string) []authority.Record {
	t.Helper()
	var orders []authority.Order
	for _, s := range subjects {
		orders = append(orders, l.Order(t, "CertificateRequest", s, s))
	}
	return l.IssueOrders(t, Key, orders...)
}

// IssueOrders issues what is ordered.
func (l *Ledger) IssueOrders(t testing.TB, key authority.IssuerKey, orders ...authority.Order) []authority.Record {
	t.Helper()
	outcomes, err := l.Authorities.Issue(context.Background(), key, orders)
	if err != nil {
		t.Fatal(err)
	}
	records := make([]authority.Record, len(outcomes))
	for i, o := range outcomes {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		records[i] = o.Record
	}
	return records
}

// Perform revokes, holds or releases a certificate.
func (l *Ledger) Perform(t testing.TB, verb authority.Verb, r authority.Record) {
	t.Helper()
	l.acts++
	name := fmt.Sprintf("act-%d", l.acts)
	p, err := l.Authorities.Perform(context.Background(), authority.Act{
		Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: Namespace, Name: name, Digest: sm3.Sum([]byte(name))},
		Issuer:   r.Issuer, Serial: r.Serial, Verb: verb, At: time.Now()})
	if err != nil || p.Refusal != "" {
		t.Fatalf("%s of %s: refused %q, %v", verb, r.Serial, p.Refusal, err)
	}
}

// Passwords of every account, which is its name, in memory.
func Passwords(spec publishing.Spec) *publishing.Passwords {
	p := publishing.NewPasswords("")
	for _, s := range append([]publishing.Server{spec.Master}, spec.Slaves...) {
		p.Set(s.Password, []byte(s.Password.Key))
	}
	return p
}

// Server is an account of a slapd, as specs name it. The Secret's key is the
// account, which is the password too.
func Server(name, account string, s *slapdtest.Server) publishing.Server {
	ca, err := os.ReadFile(s.Config.CAFile)
	if err != nil {
		panic(err) // the test's own folder
	}
	return publishing.Server{Name: name, URL: "ldaps://" + s.Config.Address, BindDN: slapd.AccountDN(account), CABundle: ca,
		Password: publishing.PasswordRef{Namespace: Namespace, Name: name, Key: account}}
}

// Spec of the directory, with the master's writing account.
func Spec(master *slapdtest.Server, slaves ...*slapdtest.Server) publishing.Spec {
	s := publishing.Spec{Namespace: Namespace, Name: Directory, Base: slapdtest.Base, Naming: directory.NamingSerial, Audience: directory.Business,
		Master: Server("master", slapdtest.Writer, master), VerifyInterval: time.Hour}
	for i, slave := range slaves {
		s.Slaves = append(s.Slaves, Server(fmt.Sprintf("slave-%d", i+1), slapdtest.Writer, slave))
	}
	return s
}

// Opener connects as the processes do.
func Opener(p *publishing.Passwords) publishing.Opener {
	return func(s publishing.Server, withLog bool) (publishing.Connection, error) {
		address, err := s.Address()
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(s.CABundle) {
			return nil, errors.New("no CA bundle")
		}
		c := ldap.Config{Address: address, TLS: &tls.Config{RootCAs: pool}, Timeout: 10 * time.Second,
			Credentials: func(context.Context) (string, string, error) {
				password, err := p.Get(s.Password)
				return s.BindDN, string(password), err
			}}
		if withLog {
			c.LogBase = slapd.LogBase
		}
		return ldap.New(c)
	}
}

// Publisher runs the service beside the ledger; stop ends it.
func (l *Ledger) Publisher(t testing.TB, p *publishing.Passwords) (s *publishing.Service, stop func()) {
	t.Helper()
	s = publishing.New(publishing.Config{Store: l.Store, Changed: l.Authorities.Changed, Open: Opener(p)})
	if err := s.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	stop = Go(func(ctx context.Context) error { return s.Run(ctx, logr.Discard()) })
	t.Cleanup(stop)
	return s, stop
}

// Go runs a service; what it returns ends it and waits, and may be called again.
func Go(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// Eventually waits until ok returns nil, at most limit.
func Eventually(t testing.TB, limit time.Duration, what string, ok func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not within %s: %v", what, limit, err)
}

// Values reads an attribute of an entry, nil when there is no entry.
func Values(t testing.TB, s directory.Server, dn, attribute string) [][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	entries, err := s.Get(ctx, []string{dn})
	if err != nil {
		t.Fatal(err)
	}
	if entries[0] == nil {
		return nil
	}
	return entries[0].Values(attribute)
}

// CertificateEntry is the DN of a certificate's entry with NamingSerial.
func CertificateEntry(r authority.Record) string {
	return "serialNumber=" + string(r.Serial) + ",ou=" + r.Issuer.FileName() + "," + slapdtest.Base
}

// Holds waits until a server shows exactly this value, or none.
func Holds(t testing.TB, s directory.Server, dn, attribute string, want []byte) {
	t.Helper()
	Eventually(t, 20*time.Second, dn, func() error {
		got := Values(t, s, dn, attribute)
		switch {
		case want == nil && got == nil:
			return nil
		case want == nil:
			return errors.New("is still there")
		case len(got) != 1 || !bytes.Equal(got[0], want):
			return fmt.Errorf("%s: has %d values, want the one of %d bytes", attribute, len(got), len(want))
		}
		return nil
	})
}
