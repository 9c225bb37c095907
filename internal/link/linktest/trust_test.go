package linktest_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/link/linktest"
	"github.com/terrace-pki/terrace/internal/transport"
)

const day = 24 * time.Hour

// Calls go on while leaves, or the CA, are renewed under them.
func TestRotationWhileCallsGoOn(t *testing.T) {
	now := time.Now()
	for name, ensured := range map[string][]time.Time{
		"leaves": {now.Add(-transport.LeafLife / 3 * 2)},
		// A CA past two thirds of its life; the next one was spread for long enough.
		"CA": {now.Add(-transport.AuthorityLife/3*2 - 2*day), now.Add(-transport.Spread - time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := linktest.New(t, linktest.Options{Register: echo, Ensured: ensured})
			before := serverLeaf(t, p)
			done := make(chan struct{})
			var wg sync.WaitGroup
			var calls atomic.Int64
			for range 2 {
				wg.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						if _, err := p.Client.Call(context10s(t), "Echo", []byte("a")); err != nil {
							t.Errorf("call: %v", err)
							return
						}
						calls.Add(1)
						p.Client.Close() // the next call makes a new connection
					}
				})
			}
			p.Ensure(now)
			for deadline := now.Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				after := serverLeaf(t, p)
				if !after.Equal(before) {
					if newCA := !bytes.Equal(before.AuthorityKeyId, after.AuthorityKeyId); newCA != (name == "CA") {
						t.Errorf("issued by another CA: got %v, want %v", newCA, name == "CA")
					}
					break
				}
				if time.Now().After(deadline) {
					t.Error("the server goes on with the old leaf")
					break
				}
			}
			between := calls.Load()
			time.Sleep(200 * time.Millisecond)
			close(done)
			wg.Wait()
			if between == 0 || calls.Load() == between {
				t.Errorf("got %d calls until the server had its new leaf and %d in all", between, calls.Load())
			}
		})
	}
}

func serverLeaf(t *testing.T, p *linktest.Pair) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", p.Address, p.Folder("ra").ClientTLS("ca"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// What does not get as far as a message.
func TestStrangersAreRefused(t *testing.T) {
	registry := prometheus.NewRegistry()
	p := linktest.New(t, linktest.Options{Register: echo, Configure: func(s *link.ServerConfig, c *link.ClientConfig) {
		s.Metrics = link.NewMetrics(registry)
		c.Attempts = 1
	}})
	now, foreign := time.Now(), t.TempDir()
	for dir, name := range map[string]string{foreign: "ra", filepath.Join(p.Dir, "tls"): "validation"} {
		if _, err := transport.EnsureFolders(dir, []transport.Process{{Name: name}}, now); err != nil {
			t.Fatal(err)
		}
	}
	key, err := link.LoadKey(filepath.Join(p.Dir, "ra.key"))
	if err != nil {
		t.Fatal(err)
	}
	otherCA, err := transport.OpenFolder(filepath.Join(foreign, "ra"))
	if err != nil {
		t.Fatal(err)
	}
	bare := p.Folder("ra").ClientTLS("ca")
	bare.GetClientCertificate = nil
	unchecked := otherCA.ClientTLS("ca")
	unchecked.VerifyConnection = nil
	for name, tc := range map[string]struct {
		config *tls.Config
		want   error
	}{
		"no client certificate":               {bare, link.ErrUnavailable},
		"a process that is not a peer":        {p.Folder("validation").ClientTLS("ca"), link.ErrUnavailable},
		"a client of another CA":              {unchecked, link.ErrUnavailable},
		"a client that trusts another CA":     {otherCA.ClientTLS("ca"), transport.ErrNotTrusted},
		"a client that wants another process": {p.Folder("ra").ClientTLS("validation"), transport.ErrWrongPeer},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := link.NewClient(link.ClientConfig{Self: "ra", Server: "ca", URL: "https://" + p.Address, Key: key,
				Peers: p.Peers("ra"), TLS: tc.config, Attempts: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Call(context10s(t), "Echo", nil); !errors.Is(err, tc.want) || !errors.Is(err, link.ErrUnavailable) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if n := counted(t, registry, "terrace_link_rejected_total"); n < 4 {
		t.Errorf("terrace_link_rejected_total: got %v, want at least 4", n)
	}
}

func counted(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A server with another key than the peers file says is not believed, whatever
// its TLS certificate.
func TestAnotherMessageKey(t *testing.T) {
	other, err := link.EnsureKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		server, client bool // has the other key
		want           []error
	}{
		"of the server": {server: true, want: []error{link.ErrBadResponse, link.ErrSignature}},
		"of the client": {client: true, want: []error{link.ErrSignature}},
	} {
		t.Run(name, func(t *testing.T) {
			p := linktest.New(t, linktest.Options{Register: echo, Configure: func(s *link.ServerConfig, c *link.ClientConfig) {
				if tc.server {
					s.Key = other
				}
				if tc.client {
					c.Key = other
				}
			}})
			_, err := p.Client.Call(context10s(t), "Echo", nil)
			for _, want := range tc.want {
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
		})
	}
}
