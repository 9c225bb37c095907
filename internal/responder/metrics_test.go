package responder

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestMetricsFollowTheCertificate(t *testing.T) {
	dir, c := t.TempDir(), &clock{}
	c.at.Store(time.Now().Truncate(24*time.Hour).Unix() + 60)
	p := open(t, dir, c)
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewMetrics(p.responders))
	check := func(when string) {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got, want := map[string]float64{}, map[string]float64{}
		for _, f := range families {
			for _, m := range f.Metric {
				got[f.GetName()] = m.Gauge.GetValue()
			}
		}
		for _, served := range p.responders.Served(spec.ID()) {
			end := served.Certificate.NotAfter
			want["terrace_responder_certificate_not_after_timestamp_seconds"] = float64(end.Unix())
			want["terrace_responder_certificate_due_timestamp_seconds"] = float64(end.Add(-48 * time.Hour).Unix())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	check("before the first certificate")
	declare(t, p, dir, c)
	first := serial(t, p)
	check("with the first certificate")
	c.add(25 * time.Hour)
	if serial(t, p) == first {
		t.Fatal("in the next window the certificate is still the first")
	}
	check("with the second certificate")
}
