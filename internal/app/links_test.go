package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/transport"
)

// Validation nodes stand in the peers file of a CA to be called, not to call.
func TestWhoMayConnectToACA(t *testing.T) {
	dir := t.TempDir()
	var peers strings.Builder
	peers.WriteString("peers:\n")
	for name, powers := range map[string]string{
		"ra":         "  authorities: [BusinessCA/ministry/business]\n  registrationAuthorities: [ministry/ra]\n  namespaces: [ministry]\n",
		"half-an-ra": "  registrationAuthorities: [ministry/ra]\n  namespaces: ['*']\n",
		"validation": "",
	} {
		key, err := link.EnsureKey(filepath.Join(dir, name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		peers.WriteString("- name: " + name + "\n  publicKey: |\n    " + strings.ReplaceAll(strings.TrimSpace(string(key.PublicPEM())), "\n", "\n    ") + "\n" + powers)
	}
	path := filepath.Join(dir, "peers.yaml")
	if err := os.WriteFile(path, []byte(peers.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := link.OpenPeers(path)
	if err != nil {
		t.Fatal(err)
	}
	l := &links{peers: file}
	for name, want := range map[string]bool{"ra": true, "half-an-ra": false, "validation": false, "stranger": false} {
		if got := l.mayOrder(name); got != want {
			t.Errorf("%s: got %t, want %t", name, got, want)
		}
		if got, want := l.isPeer(name), name != "stranger"; got != want {
			t.Errorf("%s is a peer: got %t, want %t", name, got, want)
		}
	}
}

func TestMetricTellsWhenTheTransportCertificateEnds(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	if _, err := transport.EnsureFolders(dir, []transport.Process{{Name: "ca"}}, now); err != nil {
		t.Fatal(err)
	}
	folder, err := transport.OpenFolder(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if err := registerExpiry(registry, folder); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 1 || families[0].GetName() != "terrace_transport_certificate_not_after_timestamp_seconds" {
		t.Fatalf("got %v", families)
	}
	got := families[0].GetMetric()[0].GetGauge().GetValue()
	if late := float64(now.Add(transport.LeafLife).Unix()) - got; late < -60 || late > 3600 {
		t.Errorf("got %.0f, want the end of a leaf made now; %.0f s earlier", got, late)
	}
}
