package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func ensureFolders(t *testing.T, dir string, now time.Time, names ...string) {
	t.Helper()
	var list []Process
	for _, n := range names {
		list = append(list, Process{Name: n, Hosts: []string{"127.0.0.1"}})
	}
	if _, err := EnsureFolders(dir, list, now); err != nil {
		t.Fatal(err)
	}
}

func folder(t *testing.T, dir, name string) *Folder {
	t.Helper()
	f, err := OpenFolder(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// handshake returns what each side ends with, after a byte went each way.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	echo := func(c *tls.Conn) error {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write([]byte{1}); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = echo(tls.Server(c, server))
		}
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	clientErr = echo(tls.Client(c, client))
	return <-done, clientErr
}

func TestFolderTLS(t *testing.T) {
	dir, foreign := t.TempDir(), t.TempDir()
	ensureFolders(t, dir, time.Now(), "ca", "ra", "manager")
	ensureFolders(t, foreign, time.Now(), "ca", "ra")
	ca, ra := folder(t, dir, "ca"), folder(t, dir, "ra")
	if ca.Name() != "ca" {
		t.Errorf("name: got %q, want %q", ca.Name(), "ca")
	}
	bare := ra.ClientTLS("ca")
	bare.GetClientCertificate = nil
	old := ra.ClientTLS("ca")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	later := folder(t, dir, "ca")
	later.now = func() time.Time { return time.Now().Add(LeafLife + time.Hour) }
	for name, tc := range map[string]struct {
		server, client   *tls.Config
		wantServer       error  // nil: any error when wantClient is set
		wantClient       error  //
		wantServerString string //
		ok               bool
	}{
		"as it should be":          {server: ca.ServerTLS("manager", "ra"), client: ra.ClientTLS("ca"), ok: true},
		"a list that may change":   {server: ca.ServerTLSFor(func(n string) bool { return n == "ra" }), client: ra.ClientTLS("ca"), ok: true},
		"another client":           {server: ca.ServerTLS("manager"), client: ra.ClientTLS("ca"), wantServer: ErrWrongPeer},
		"not on the list":          {server: ca.ServerTLSFor(func(string) bool { return false }), client: ra.ClientTLS("ca"), wantServer: ErrWrongPeer},
		"another server":           {server: ca.ServerTLS("ra"), client: ra.ClientTLS("validation"), wantClient: ErrWrongPeer},
		"client of another CA":     {server: ca.ServerTLS("ra"), client: folder(t, foreign, "ra").ClientTLS("ca"), wantClient: ErrNotTrusted},
		"server of another CA":     {server: folder(t, foreign, "ca").ServerTLS("ra"), client: ra.ClientTLS("ca"), wantClient: ErrNotTrusted},
		"no client certificate":    {server: ca.ServerTLS("ra"), client: bare, wantServerString: "client didn't provide a certificate"},
		"TLS 1.2":                  {server: ca.ServerTLS("ra"), client: old, wantServerString: "unsupported versions"},
		"a leaf that has ended":    {server: later.ServerTLS("ra"), client: ra.ClientTLS("ca"), wantServer: ErrNotTrusted},
		"nobody may call":          {server: ca.ServerTLS(), client: ra.ClientTLS("ca"), wantServer: ErrWrongPeer},
		"client's CA is not known": {server: ca.ServerTLS("ra"), client: trusting(folder(t, foreign, "ra")), wantServer: ErrNotTrusted},
	} {
		t.Run(name, func(t *testing.T) {
			serverErr, clientErr := handshake(t, tc.server, tc.client)
			if tc.ok {
				if serverErr != nil || clientErr != nil {
					t.Errorf("got %v at the server, %v at the client", serverErr, clientErr)
				}
				return
			}
			if serverErr == nil || clientErr == nil {
				t.Fatalf("got %v at the server, %v at the client; want both to fail", serverErr, clientErr)
			}
			if tc.wantServer != nil && !errors.Is(serverErr, tc.wantServer) {
				t.Errorf("server: got %v, want %v", serverErr, tc.wantServer)
			}
			if tc.wantClient != nil && !errors.Is(clientErr, tc.wantClient) {
				t.Errorf("client: got %v, want %v", clientErr, tc.wantClient)
			}
			if !strings.Contains(serverErr.Error(), tc.wantServerString) {
				t.Errorf("server: got %v, want %q", serverErr, tc.wantServerString)
			}
		})
	}
}

// trusting is a client that takes any server.
func trusting(f *Folder) *tls.Config {
	c := f.ClientTLS("")
	c.VerifyConnection = nil
	return c
}

func TestOpenFolderSaysWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(dir string) error
		want   string
	}{
		"no key":          {func(d string) error { return os.Remove(filepath.Join(d, KeyFile)) }, KeyFile},
		"no certificate":  {func(d string) error { return os.Remove(filepath.Join(d, CertFile)) }, CertFile},
		"no bundle":       {func(d string) error { return os.Remove(filepath.Join(d, CAFile)) }, CAFile},
		"bundle is a key": {func(d string) error { return copyFile(filepath.Join(d, KeyFile), filepath.Join(d, CAFile)) }, "want \"CERTIFICATE\""},
		"key of another":  {func(d string) error { return copyFile(filepath.Join(d, "../ra", KeyFile), filepath.Join(d, KeyFile)) }, "is not the key of tls.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ensureFolders(t, dir, time.Now(), "ca", "ra")
			if err := tc.damage(filepath.Join(dir, "ca")); err != nil {
				t.Fatal(err)
			}
			_, err := OpenFolder(filepath.Join(dir, "ca"))
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "BEGIN") {
				t.Errorf("got %v, want one about %q", err, tc.want)
			}
			// What is damaged is made good by the next look.
			ensureFolders(t, dir, time.Now(), "ca", "ra")
			if _, err := OpenFolder(filepath.Join(dir, "ca")); err != nil {
				t.Errorf("after EnsureFolders: %v", err)
			}
		})
	}
	dir := t.TempDir()
	ensureFolders(t, dir, time.Now().Add(-LeafLife-day), "ca")
	if _, err := OpenFolder(filepath.Join(dir, "ca")); err == nil || !strings.Contains(err.Error(), "is valid from") {
		t.Errorf("a leaf that has ended: got %v", err)
	}
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}

func TestEnsureFolders(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	list := []Process{{Name: "ca"}, {Name: "ra"}}
	// Two installers at once: one CA.
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() { _, errs[i] = EnsureFolders(dir, list, now) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if serverErr, clientErr := handshake(t, folder(t, dir, "ca").ServerTLS("ra"), folder(t, dir, "ra").ClientTLS("ca")); serverErr != nil || clientErr != nil {
		t.Errorf("after two at once: %v, %v", serverErr, clientErr)
	}
	if changed, err := EnsureFolders(dir, list, now); changed || err != nil {
		t.Errorf("again: got %v, %v; want no change", changed, err)
	}
	for path, want := range map[string]os.FileMode{
		filepath.Join(AuthorityDir, authorityFile): 0o600, AuthorityDir: 0o700, "ca": 0o700, filepath.Join("ca", KeyFile): 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v; want mode %o", path, info.Mode().Perm(), err, want)
		}
	}
	if changed, err := EnsureFolders(dir, list, now.Add(61*day)); !changed || err != nil {
		t.Errorf("after 61 days: got %v, %v; want renewed leaves", changed, err)
	}
	if err := os.WriteFile(filepath.Join(dir, AuthorityDir, authorityFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureFolders(dir, list, now); err == nil || !strings.Contains(err.Error(), "restore it from a backup") {
		t.Errorf("damaged CA: got %v", err)
	}
	if _, err := EnsureFolders(dir, []Process{{Name: AuthorityDir}}, now); err == nil {
		t.Error("a process was given the CA's folder")
	}
}
