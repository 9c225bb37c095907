package responder

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// clock is set by the test.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time      { return time.Unix(c.at.Load(), 0) }
func (c *clock) add(d time.Duration) { c.at.Add(int64(d / time.Second)) }

// process is what one process has; opening it again is a restart.
type process struct {
	authorities *authority.Service
	responders  *Service
	store       authority.Store
	devices     *device.Registry
}

var caKey = authority.IssuerKey{Authority: "IndustryCA/ns/ca", Generation: 1}

var spec = Spec{Namespace: "ns", Name: "validation", BaseURL: "http://x.example", Device: "ns/device", ResponderValidity: 72 * time.Hour, ResponseValidity: time.Hour}

func open(t *testing.T, dir string, c *clock) process {
	t.Helper()
	ctx := context.Background()
	store, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "ledger.db"), TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	keys, err := software.Open(software.Config{Dir: filepath.Join(dir, "keys"), Password: []byte("test")})
	if err != nil {
		t.Fatal(err)
	}
	devices := device.NewRegistry()
	caKeys, err := software.Open(software.Config{Dir: filepath.Join(dir, "ca-keys"), Password: []byte("test")})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(devices.Put("ns/device", keys), devices.Put("ns/ca-device", caKeys)); err != nil {
		t.Fatal(err)
	}
	p := process{store: store, devices: devices, authorities: authority.New(authority.Config{Store: store, Keys: devices, Now: c.now})}
	p.responders = New(store, p.authorities, c.now)
	if err := errors.Join(p.authorities.Load(ctx), p.responders.Load(ctx)); err != nil {
		t.Fatal(err)
	}
	return p
}

// declare does what the controllers do: a CA that names the service, and the service.
func declare(t *testing.T, p process, dir string, c *clock) {
	t.Helper()
	ctx := context.Background()
	_, err := authoritytest.DeclareCA(ctx, p.authorities, filepath.Join(dir, "root"), c.now(),
		authority.Settings{Key: caKey, Device: "ns/ca-device", Validation: spec.ID(), BaseURL: spec.BaseURL})
	if err := errors.Join(err, p.responders.Accept(ctx, spec)); err != nil {
		t.Fatal(err)
	}
}

func serial(t *testing.T, p process) string {
	t.Helper()
	if err := p.responders.Ensure(context.Background(), spec.ID()); err != nil {
		t.Fatal(err)
	}
	served := p.responders.Served(spec.ID())
	if len(served) != 1 {
		t.Fatalf("serves %d CAs, want 1", len(served))
	}
	return served[0].Certificate.SerialNumber.String()
}

func TestCertificateIsKeptForItsWindowAndReplacedAfter(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	c.at.Store(time.Now().Truncate(24*time.Hour).Unix() + 60)
	p := open(t, dir, c)
	declare(t, p, dir, c)
	first := serial(t, p)
	c.add(23 * time.Hour)
	if got := serial(t, p); got != first {
		t.Error("within the window a new certificate was issued")
	}
	restarted := open(t, dir, c)
	if got := serial(t, restarted); got != first {
		t.Error("after a restart within the window a new certificate was issued")
	}
	c.add(2 * time.Hour)
	second := serial(t, restarted)
	if second == first {
		t.Error("in the next window the certificate is still the first")
	}
	if n, err := restarted.store.Count(context.Background(), caKey); err != nil || n != 2 {
		t.Errorf("the ledger counts %d certificates, %v, want 2", n, err)
	}
}

func TestPausedCAStaysAnswerable(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	c.at.Store(time.Now().Truncate(24*time.Hour).Unix() + 60)
	p := open(t, dir, c)
	declare(t, p, dir, c)
	first := serial(t, p)
	ca, err := p.authorities.CA(caKey)
	if err != nil {
		t.Fatal(err)
	}
	paused := ca.Settings
	paused.Paused = true
	if err := p.authorities.Accept(context.Background(), paused); err != nil {
		t.Fatal(err)
	}
	c.add(25 * time.Hour)
	if second := serial(t, p); second == first {
		t.Error("a paused CA did not renew its responder's certificate")
	}
}

func TestFilesAreServedWhileTheKeyIsAway(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	c.at.Store(time.Now().Unix())
	p := open(t, dir, c)
	declare(t, p, dir, c)
	first := serial(t, p)
	if err := p.devices.Remove("ns/device"); err != nil {
		t.Fatal(err)
	}
	told := 0
	p.responders.OnChange = func(s Spec, _ []*Served) error { told++; return nil }
	if err := p.responders.Ensure(context.Background(), spec.ID()); !errors.Is(err, device.ErrUnavailable) {
		t.Errorf("without the device: %v, want ErrUnavailable", err)
	}
	served := p.responders.Served(spec.ID())
	if told != 1 || len(served) != 1 || served[0].Certificate.SerialNumber.String() != first {
		t.Errorf("told %d times, serves %d, want once and the certificate as before", told, len(served))
	}
}

func TestEarlierCertificateServesWhileTheCACannotIssue(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	c.at.Store(time.Now().Truncate(24*time.Hour).Unix() + 60)
	p := open(t, dir, c)
	declare(t, p, dir, c)
	first := serial(t, p)
	c.add(25 * time.Hour) // the next window
	p = open(t, dir, c)   // after a restart only the ledger knows the certificate
	if err := p.devices.Remove("ns/ca-device"); err != nil {
		t.Fatal(err)
	}
	if err := p.responders.Ensure(context.Background(), spec.ID()); !errors.Is(err, device.ErrUnavailable) {
		t.Errorf("without the CA's device: %v, want ErrUnavailable", err)
	}
	if served := p.responders.Served(spec.ID()); len(served) != 1 || served[0].Certificate.SerialNumber.String() != first {
		t.Errorf("serves %d, want the certificate of the window before", len(served))
	}
	c.add(72 * time.Hour)
	_ = p.responders.Ensure(context.Background(), spec.ID()) // fails as before
	if n := len(p.responders.Served(spec.ID())); n != 0 {
		t.Errorf("serves %d with an expired certificate, want none", n)
	}
}

func TestBackoffGrowsToItsBoundAndEnds(t *testing.T) {
	var b backoff
	for range 20 {
		b = b.next(errors.New("device signs badly"))
	}
	if b.wait != maxWait {
		t.Errorf("waits %s after many failures, want %s", b.wait, maxWait)
	}
	if b = b.next(nil); b.wait != 0 {
		t.Errorf("waits %s after a success, want none", b.wait)
	}
}
