package link

import (
	"context"
	"crypto"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/transport"
)

// counting counts the connections that it accepts.
type counting struct {
	net.Listener
	n atomic.Int32
}

func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

// serveOn starts a server over TLS with a handler and returns its client.
func serveOn(t *testing.T, l net.Listener, change func(*Server), h Handler) (client *Client, stop func() error) {
	t.Helper()
	dir := t.TempDir()
	if _, err := transport.EnsureFolders(dir, []transport.Process{{Name: "ca"}, {Name: "ra"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	folder := func(name string) *transport.Folder {
		f, err := transport.OpenFolder(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	ra, ca := newKey(t), newKey(t)
	s, err := NewServer(ServerConfig{Self: "ca", Key: ca, Log: logr.Discard(), StopTimeout: 100 * time.Millisecond,
		Peers: StaticPeers{"ra": {Name: "ra", PublicKey: ra.Public()}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("Act", h)
	change(s)
	client, err = NewClient(ClientConfig{Self: "ra", Server: "ca", URL: "https://" + l.Addr().String(), Key: ra, Attempts: 1,
		Peers: StaticPeers{"ca": {Name: "ca", PublicKey: ca.Public()}}, TLS: folder("ra").ClientTLS("ca")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, folder("ca").ServerTLS("ra")) }()
	return client, func() error { cancel(); return <-done }
}

func listen(t *testing.T) *counting {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &counting{Listener: l}
}

// One connection serves many calls, until it is old.
func TestConnections(t *testing.T) {
	for name, tc := range map[string]struct {
		age      time.Duration
		min, max int32
	}{
		"young": {time.Hour, 1, 1},
		"old":   {0, 5, 10},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			client, stop := serveOn(t, l, func(s *Server) { s.maxAge = tc.age }, func(context.Context, Peer, []byte) ([]byte, error) { return nil, nil })
			for range 5 {
				if _, err := client.Call(t.Context(), "Act", nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Millisecond) // the client takes note of the farewell
			}
			if n := l.n.Load(); n < tc.min || n > tc.max {
				t.Errorf("got %d connections, want %d to %d", n, tc.min, tc.max)
			}
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A call that does not end in time is cut off, and Serve returns only when its
// handler has.
func TestStopCutsOff(t *testing.T) {
	started := make(chan struct{})
	var ended atomic.Bool
	client, stop := serveOn(t, listen(t), func(*Server) {}, func(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
		close(started)
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond)
		ended.Store(true)
		return nil, ctx.Err()
	})
	result := make(chan error, 1)
	go func() {
		_, err := client.Call(context.Background(), "Act", nil)
		result <- err
	}()
	<-started
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !ended.Load() {
		t.Error("Serve returned while a handler was at work")
	}
	if err := <-result; !errors.Is(err, ErrUnavailable) {
		t.Errorf("the caller: got %v, want %v", err, ErrUnavailable)
	}
}

// awaySigner is a key in a device that cannot be reached.
type awaySigner struct{ crypto.MessageSigner }

func (awaySigner) SignMessage(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("device is away")
}

// A server that cannot sign cannot answer; it says so without a signature, and
// the client may come again.
func TestServerCannotSign(t *testing.T) {
	client, stop := serveOn(t, listen(t), func(s *Server) {
		s.cfg.Key = &Key{signer: awaySigner{s.cfg.Key.signer}, public: s.cfg.Key.public}
	}, func(context.Context, Peer, []byte) ([]byte, error) { return nil, nil })
	_, err := client.Call(t.Context(), "Act", nil)
	if _, again := retry(err); !errors.Is(err, ErrUnavailable) || !again {
		t.Errorf("got %v, retryable %v; want %v, true", err, again, ErrUnavailable)
	}
	client.Close()
	if err := stop(); err != nil {
		t.Error(err)
	}
}
