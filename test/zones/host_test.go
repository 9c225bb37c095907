package zones

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/test/interop"
	"github.com/terrace-pki/terrace/test/zones/zone"
)

// patience is how long the test waits for something that takes seconds on an
// idle machine.
const patience = 60 * time.Second

// tier is a ministry's system that is coming up, host by host.
type tier struct {
	t   *testing.T
	net *zone.Net
	// links is the folder where the transport certificates of all are made; root's own.
	links     string
	processes map[string]*zone.Process
	publicKey map[string]string // message keys, PEM
	api
}

func newTier(t *testing.T) *tier {
	t.Helper()
	all, err := hosts()
	if err != nil {
		t.Fatal(err)
	}
	tr := &tier{t: t, net: zone.Up(t, zone.Plan{Hosts: all, Rules: firewall}), links: t.TempDir(),
		processes: map[string]*zone.Process{}, publicKey: map[string]string{}}
	// Programs are where every user may run them, and nobody may change them.
	for _, path := range []string{binary(t, "terrace"), binary(t, "kubectl-terrace"), binary(t, "testapiserver"), binary(t, "kubectl"), module(t)} {
		if err := copyFile(path, filepath.Join(tr.net.Shared(), filepath.Base(path))); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// module is the software token that make build built.
func module(t *testing.T) string {
	return filepath.Join(filepath.Dir(binary(t, "")), "softtoken", "libterrace-softtoken.so")
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("%w: run make build", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

// shared is the path of a program on every host.
func (tr *tier) shared(name string) string { return filepath.Join(tr.net.Shared(), name) }

// dir is a folder or file below a host's own folder.
func (tr *tier) dir(host string, names ...string) string {
	return filepath.Join(append([]string{tr.net.Dir(host)}, names...)...)
}

// terrace runs a subcommand on a host to its end.
func (tr *tier) terrace(host string, env []string, args ...string) []byte {
	tr.t.Helper()
	out, err := tr.net.Run(host, zone.Command{Name: "terrace " + args[0], Args: append([]string{tr.shared("terrace")}, args...), Env: env})
	if err != nil {
		tr.t.Fatal(err)
	}
	return out
}

// start runs a process on a host and waits until it says that it is ready.
func (tr *tier) start(host string, env []string, args ...string) {
	tr.t.Helper()
	tr.begin(host, env, args...)
	tr.ready(host)
}

// begin runs a process on a host.
func (tr *tier) begin(host string, env []string, args ...string) {
	tr.t.Helper()
	tr.processes[host] = tr.net.Start(host, zone.Command{Name: "terrace " + args[0], Args: append([]string{tr.shared("terrace")}, args...), Env: env})
}

// ready waits until the process on a host says so.
func (tr *tier) ready(host string) {
	tr.t.Helper()
	p, last := tr.processes[host], ""
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		code, body, err := tr.get(host, "http://127.0.0.1:8082/readyz")
		if err == nil && code == http.StatusOK {
			return
		}
		last = fmt.Sprintf("%d %s %v", code, body, err)
		if p.Ended() || time.Now().After(deadline) {
			tr.t.Fatalf("%s is not ready: %s\n%s", host, last, p.Log())
		}
	}
}

// client is an HTTP client that stands on a host. Names lead to addresses by
// names, since there is no name server.
func (tr *tier) client(host string, names map[string]string) *http.Client {
	dial := tr.net.Dialer(host)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if to, ok := names[address]; ok {
				address = to
			}
			return dial(ctx, network, address)
		}}}
}

func (tr *tier) get(host, url string) (code int, body []byte, err error) {
	resp, err := tr.client(host, nil).Get(url)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, body, err
}

// eventually waits until check returns nil.
func (tr *tier) eventually(what string, check func() error) {
	tr.t.Helper()
	tr.within(patience, what, check)
}

func (tr *tier) within(limit time.Duration, what string, check func() error) {
	tr.t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tr.t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
	}
}

// signingRequest makes an SM2 key and a PKCS#10 request with OpenSSL.
func signingRequest(t *testing.T, subject string) []byte {
	t.Helper()
	_, csr, err := interop.MakeKeyAndCSR(t.TempDir(), subject, interop.CSROptions{})
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
