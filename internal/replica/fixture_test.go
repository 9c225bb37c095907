package replica_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/link/linktest"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/replica/replicatest"
	"github.com/terrace-pki/terrace/internal/responder"
	"github.com/terrace-pki/terrace/internal/store/replicastore"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

var caKey = authority.IssuerKey{Authority: "BusinessCA/ns/province", Generation: 1}

const serviceID = "ns/validation"

// core is what stands beside the ledger.
type core struct {
	ledger      string
	store       authority.Store
	authorities *authority.Service
	responders  *responder.Service
	now         atomic.Int64 // added to time.Now by clock, in nanoseconds
	orders      int
}

func (c *core) clock() time.Time { return time.Now().Add(time.Duration(c.now.Load())) }

// newCore has one CA whose serials the validation service answers for.
func newCore(t testing.TB) *core {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	c := &core{ledger: filepath.Join(dir, "ledger.db")}
	var err error
	if c.store, err = sqlite.Open(ctx, sqlite.Config{Path: c.ledger, TakeOver: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.store.Close() })
	devices := device.NewRegistry()
	if err := devices.Put("ns/device", openKeystore(t, filepath.Join(dir, "ca-keys"))); err != nil {
		t.Fatal(err)
	}
	c.authorities = authority.New(authority.Config{Store: c.store, Keys: devices, Now: c.clock})
	_, err = authoritytest.DeclareCA(ctx, c.authorities, filepath.Join(dir, "root"), time.Now(),
		authority.Settings{Key: caKey, Device: "ns/device", Validation: serviceID, BaseURL: "http://v.example"})
	if err != nil {
		t.Fatal(err)
	}
	c.responders = responder.New(c.store, c.authorities, c.clock)
	runFor(t, func(ctx context.Context) error { return c.authorities.WatchLedger(ctx, logr.Discard()) })
	return c
}

// runFor runs a service until the test ends.
func runFor(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func openKeystore(t testing.TB, dir string) device.Device {
	t.Helper()
	d, err := software.Open(software.Config{Dir: dir, Password: []byte("only for this test")})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// issue issues certificates and returns their serials.
func (c *core) issue(t testing.TB, n int) []pki.Serial {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var serials []pki.Serial
	for len(serials) < n {
		var orders []authority.Order
		for range min(n-len(serials), authority.MaxSlice) {
			c.orders++
			id := fmt.Sprint(c.orders)
			name, err := pki.ParseName("CN=Subscriber " + id + ",O=Test,C=CN")
			if err != nil {
				t.Fatal(err)
			}
			orders = append(orders, authority.Order{
				Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "ns", Name: id, Digest: sm3.Sum([]byte(id))},
				Profile:  pki.Profile{Name: "person", KeyUsage: pki.KeyUsagesSigning, Validity: 24 * time.Hour, Backdate: time.Minute},
				Subject:  name, PublicKey: &key.PublicKey,
			})
		}
		out, err := c.authorities.Issue(t.Context(), caKey, orders)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			serials = append(serials, o.Record.Serial)
		}
	}
	return serials
}

// perform carries one act out.
func (c *core) perform(t testing.TB, name string, verb authority.Verb, serial pki.Serial) {
	t.Helper()
	done, err := c.store.Perform(t.Context(), authority.Act{
		Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "ns", Name: name, Digest: sm3.Sum([]byte(name))},
		Issuer:   caKey, Serial: serial, Verb: verb, Reason: pki.ReasonKeyCompromise, At: time.Now()})
	if err != nil || done.Refusal != "" {
		t.Fatalf("%s: %v, refusal %q", name, err, done.Refusal)
	}
}

// end is a validation node on a link of its own.
type end struct {
	name   string
	dir    string
	pair   *linktest.Pair
	client link.ClientConfig
	store  *replicatest.Faulty
	node   *replica.Node
	config atomic.Pointer[replica.Config] // as it would be served
}

func newEnd(t testing.TB, name string) *end {
	t.Helper()
	e := &end{name: name, dir: t.TempDir()}
	e.open(t)
	e.pair = linktest.New(t, linktest.Options{Client: "ca", Server: name, Log: logr.Discard(),
		Register: func(s *link.Server) { replica.Register(s, e.node) },
		Configure: func(s *link.ServerConfig, c *link.ClientConfig) {
			*s = replica.ServerBounds(*s)
			e.client = *c
		}})
	return e
}

func (e *end) open(t testing.TB) {
	t.Helper()
	s, err := replicastore.Open(t.Context(), filepath.Join(e.dir, "replica.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // a second Close is harmless
	e.store = &replicatest.Faulty{Store: s}
	e.node, err = replica.OpenNode(t.Context(), replica.NodeConfig{Name: e.name, Store: e.store, Device: openKeystore(t, filepath.Join(e.dir, "keys")),
		OnChange: func(c replica.Config, _ crypto.MessageSigner) { e.config.Store(&c) }})
	if err != nil {
		t.Fatal(err)
	}
}

// restart ends the node's process and begins a new one.
func (e *end) restart(t testing.TB) {
	t.Helper()
	e.pair.Stop()
	if err := e.store.Close(); err != nil {
		t.Fatal(err)
	}
	e.open(t)
	e.pair.Start()
}

func (e *end) url() string { return "https://" + e.pair.Address }

// declare accepts a service with these nodes.
func (c *core) declare(t testing.TB, ends ...*end) {
	t.Helper()
	spec := responder.Spec{Namespace: "ns", Name: "validation", BaseURL: "http://v.example", ResponderValidity: 72 * time.Hour, ResponseValidity: time.Hour}
	for _, e := range ends {
		spec.Nodes = append(spec.Nodes, responder.Node{Name: e.name, URL: e.url()})
	}
	if err := c.responders.Accept(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
}

// sender pushes to the ends until stop.
func (c *core) sender(t testing.TB, ends ...*end) (s *replica.Sender, stop func()) {
	t.Helper()
	s = replica.NewSender(replica.SenderConfig{Feed: c.store, Changed: c.authorities.Changed, Source: c.responders, Log: logr.Discard(), Now: c.clock,
		Poll: 50 * time.Millisecond, MaxWait: 100 * time.Millisecond,
		Dial: func(target replica.Target) (replica.Remote, error) {
			for _, e := range ends {
				if e.name == target.Name {
					client := e.client
					client.URL, client.Attempts = target.URL, 2
					return replica.NewRemote(client)
				}
			}
			return nil, errors.New("no such end")
		}})
	return s, runFor(t, s.Run)
}

// eventually waits for what must come about within some seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s: not %s", what)
		}
	}
}

// state of a serial at a node: "good", the reason of its revocation, or "unknown".
func (e *end) state(t testing.TB, serial pki.Serial) string {
	t.Helper()
	s, err := e.store.Status(t.Context(), caKey, serial)
	switch {
	case errors.Is(err, replica.ErrNotFound):
		return "unknown"
	case err != nil:
		t.Fatal(err)
	case s.Revocation != nil:
		return s.Revocation.Reason.String()
	}
	return "good"
}

func (e *end) wait(t testing.TB, serial pki.Serial, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s at node %s: serial %s", want, e.name, serial), func() bool { return e.state(t, serial) == want })
}
