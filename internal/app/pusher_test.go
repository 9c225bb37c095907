package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
	"github.com/terrace-pki/terrace/internal/publishing"
	pt "github.com/terrace-pki/terrace/internal/publishing/publishingtest"
)

// The process as it runs, with an API server that is away: specs from its state
// folder, passwords from files.
func TestPusherRunsWithoutTheAPIServer(t *testing.T) {
	dir := t.TempDir()
	master, slave := slapdtest.Start(t, slapd.Master, nil), slapdtest.Start(t, slapd.Slave, nil)
	spec := pt.Spec(master, slave)
	spec.Master = pt.Server("master", slapdtest.Replicator, master)
	spec.Slaves[0].CABundle = nil // verified by the process's own CA file
	for _, s := range append([]publishing.Server{spec.Master}, spec.Slaves...) {
		put(t, filepath.Join(dir, "passwords", s.Password.FileName()), []byte(s.Password.Key))
	}
	ca, err := os.ReadFile(slave.Config.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "transport", "ca.crt"), ca)
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "state", "directories", "ns_directory.json"), b)
	writer := master.Client(t, slapdtest.Operator)
	entry := "dc=example,dc=cn"
	err = writer.Apply(t.Context(), []directory.Change{{Kind: directory.Add, DN: entry, Attributes: []directory.Attribute{
		{Type: "objectClass", Values: [][]byte{[]byte("domain")}}, {Type: "dc", Values: [][]byte{[]byte("example")}}}}})
	if err != nil {
		t.Fatal(err)
	}
	c := PusherConfig{Process: Process{MetricsAddress: freeAddress(t), HealthAddress: freeAddress(t)}, Name: "pusher", StateDir: filepath.Join(dir, "state"),
		TransportDir: filepath.Join(dir, "transport"), BindPasswordDir: filepath.Join(dir, "passwords")}
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- RunPusher(ctx, &rest.Config{Host: "https://127.0.0.1:1"}, c, logr.Discard()) }()
	pt.Holds(t, slave.Client(t, slapdtest.Reader), entry, "dc", []byte("example"))
	pt.Eventually(t, 10*time.Second, "readiness", func() error {
		r, err := http.Get("http://" + c.HealthAddress + "/readyz")
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return errors.New(r.Status)
		}
		return nil
	})
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("stopped with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("did not stop")
	}
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// A server is trusted by its CA and its name alone.
func TestDirectoryServersAreVerified(t *testing.T) {
	server, other := slapdtest.Start(t, slapd.Master, nil), slapdtest.New(t, slapd.Slave, nil)
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	put(t, password, []byte(slapdtest.Operator))
	address := server.Config.Address
	for name, c := range map[string]struct {
		url, ca string
		ok      bool
	}{
		"its CA":              {"ldaps://" + address, server.Config.CAFile, true},
		"another CA":          {"ldaps://" + address, other.Config.CAFile, false},
		"no CA":               {"ldaps://" + address, "", false},
		"another name":        {"ldaps://localhost" + address[len("127.0.0.1"):], server.Config.CAFile, false},
		"a file that is away": {"ldaps://" + address, filepath.Join(dir, "absent"), false},
	} {
		conn, err := OpenDirectory(c.url, slapd.AccountDN(slapdtest.Operator), password, c.ca, false)
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Get(t.Context(), []string{slapdtest.Base})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(fmt.Errorf("%s: close: %w", name, err))
		}
	}
}
