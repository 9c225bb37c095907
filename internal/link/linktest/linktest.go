// Package linktest starts the two ends of a link over real TLS on 127.0.0.1.
package linktest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"

	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/transport"
)

// Options of a pair; all may be left out.
type Options struct {
	// Client and Server are the processes' names, "ra" and "ca" by default.
	Client, Server string
	// Authorities and RegistrationAuthorities are what the client may act for,
	// Namespaces whose objects it may bring.
	Authorities, RegistrationAuthorities, Namespaces []string

	Codes link.Codes
	// Register sets the server's handlers, for each incarnation again.
	Register func(*link.Server)
	// Configure changes what New would use, for each incarnation of the server again.
	Configure func(*link.ServerConfig, *link.ClientConfig)
	// Ensured are times in the past, in order, at which the transport certificates
	// were looked after already.
	Ensured []time.Time
	// Log takes the server's log; it goes to the test's when zero.
	Log logr.Logger
}

// Pair is a client and a server that know one another.
type Pair struct {
	Client *link.Client
	// Dir holds the transport folder "tls" with both processes, each one's message
	// key <name>.key and peers file <name>.peers.yaml.
	Dir string
	// Address is host:port of the server.
	Address string

	t    testing.TB
	o    Options
	cfg  link.ServerConfig
	stop func() error
}

// New makes transport certificates, message keys and peers files in a folder of
// the test's and starts the server, which ends with the test.
func New(t testing.TB, o Options) *Pair {
	t.Helper()
	if o.Client == "" {
		o.Client = "ra"
	}
	if o.Server == "" {
		o.Server = "ca"
	}
	if o.Log.GetSink() == nil {
		o.Log = testr.NewWithInterface(t, testr.Options{})
	}
	p := &Pair{Dir: t.TempDir(), t: t, o: o}
	if len(o.Ensured) == 0 {
		o.Ensured = []time.Time{time.Now()}
	}
	for _, at := range o.Ensured {
		p.Ensure(at)
	}
	keys := map[string]*link.Key{}
	for _, name := range []string{o.Client, o.Server} {
		key, err := link.EnsureKey(filepath.Join(p.Dir, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = key
	}
	writePeers(t, filepath.Join(p.Dir, o.Server+".peers.yaml"), o.Client, keys[o.Client], o)
	writePeers(t, filepath.Join(p.Dir, o.Client+".peers.yaml"), o.Server, keys[o.Server], Options{})

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.Address = listener.Addr().String()
	client := link.ClientConfig{Self: o.Client, Server: o.Server, URL: "https://" + p.Address, Key: keys[o.Client],
		Peers: p.Peers(o.Client), TLS: p.Folder(o.Client).ClientTLS(o.Server), Codes: o.Codes, Backoff: 20 * time.Millisecond}
	p.cfg = link.ServerConfig{Self: o.Server, Key: keys[o.Server], Peers: p.Peers(o.Server), Codes: o.Codes, Log: o.Log}
	if o.Configure != nil {
		o.Configure(&p.cfg, &client)
	}
	if p.Client, err = link.NewClient(client); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Client.Close)
	p.serve(listener)
	t.Cleanup(func() {
		if p.stop != nil {
			p.Stop()
		}
	})
	return p
}

// Ensure makes or renews the transport certificates as they are due at now.
func (p *Pair) Ensure(now time.Time) {
	p.t.Helper()
	local := []string{"127.0.0.1"}
	if _, err := transport.EnsureFolders(filepath.Join(p.Dir, "tls"), []transport.Process{{Name: p.o.Client, Hosts: local}, {Name: p.o.Server, Hosts: local}}, now); err != nil {
		p.t.Fatal(err)
	}
}

// Folder opens a process's transport folder.
func (p *Pair) Folder(name string) *transport.Folder {
	p.t.Helper()
	f, err := transport.OpenFolder(filepath.Join(p.Dir, "tls", name))
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

// Peers opens a process's peers file.
func (p *Pair) Peers(name string) *link.PeersFile {
	p.t.Helper()
	f, err := link.OpenPeers(filepath.Join(p.Dir, name+".peers.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

// Stop ends the server and waits for its calls.
func (p *Pair) Stop() {
	p.t.Helper()
	p.Client.Close() // net/http waits a second for idle connections to take leave
	stop := p.stop
	p.stop = nil
	if err := stop(); err != nil {
		p.t.Error(err)
	}
}

// Start starts the server that was stopped, as a new incarnation under the same address.
func (p *Pair) Start() {
	p.t.Helper()
	listener, err := net.Listen("tcp", p.Address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.serve(listener)
}

func (p *Pair) serve(listener net.Listener) {
	p.t.Helper()
	server, err := link.NewServer(p.cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.o.Register != nil {
		p.o.Register(server)
	}
	config := p.Folder(p.o.Server).ServerTLSFor(p.Peers(p.o.Server).Allowed)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener, config) }()
	p.stop = func() error { cancel(); return <-done }
}

func writePeers(t testing.TB, path, name string, key *link.Key, may Options) {
	t.Helper()
	var b strings.Builder
	b.WriteString("peers:\n- name: " + name + "\n  publicKey: |\n")
	for line := range strings.Lines(string(key.PublicPEM())) {
		b.WriteString("    " + line)
	}
	list := func(field string, values []string) {
		if len(values) > 0 {
			b.WriteString("  " + field + ": [" + strings.Join(values, ", ") + "]\n")
		}
	}
	list("authorities", may.Authorities)
	list("registrationAuthorities", may.RegistrationAuthorities)
	list("namespaces", may.Namespaces)
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
