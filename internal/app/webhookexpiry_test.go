package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/transport"
)

func TestMetricTellsWhenTheWebhookCertificateEnds(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	if _, err := transport.EnsureFolders(dir, []transport.Process{{Name: "manager"}}, now); err != nil {
		t.Fatal(err)
	}
	registry, w := prometheus.NewRegistry(), Webhooks{WebhookAddress: "127.0.0.1:1", WebhookCertDir: filepath.Join(dir, "manager")}
	if err := registerWebhookExpiry(registry, w); err != nil {
		t.Fatal(err)
	}
	value := func() float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil || len(families) != 1 {
			t.Fatalf("got %v, error %v", families, err)
		}
		return families[0].GetMetric()[0].GetGauge().GetValue()
	}
	if late := float64(now.Add(transport.LeafLife).Unix()) - value(); late < -60 || late > 3600 {
		t.Errorf("got %.0f s before the end of a leaf made now", late)
	}
	if err := os.WriteFile(filepath.Join(w.WebhookCertDir, "tls.crt"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := value(); got != 0 {
		t.Errorf("with a file that is no certificate: got %.0f, want 0", got)
	}
	if err := registerWebhookExpiry(prometheus.NewRegistry(), Webhooks{}); err != nil {
		t.Errorf("without webhooks: %v", err)
	}
}
