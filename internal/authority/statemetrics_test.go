package authority_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/authority"
)

func TestStateMetricsFollowTheCA(t *testing.T) {
	now := time.Now()
	s, key, _ := newAuthorityAt(t, func() time.Time { return now })
	ca, err := s.CA(key)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(authority.NewStateMetrics(s))
	want := map[string]float64{"terrace_ca_certificate_not_after_timestamp_seconds": float64(ca.Cert.NotAfter.Unix())}
	if diff := cmp.Diff(want, gathered(t, registry)); diff != "" {
		t.Errorf("before the first list (-want +got):\n%s", diff)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); <-done }()
	go func() { done <- s.WatchLedger(ctx, logr.Discard()) }()
	<-s.Leads() // only the process that makes the lists says when they are due
	for range 2 {
		if made, err := s.EnsureCRL(t.Context(), key, 0); err != nil || !made {
			t.Fatalf("make list: %t, %v", made, err)
		}
		want["terrace_crl_due_timestamp_seconds"] = float64(now.Add(ca.CRLInterval).Unix())
		if diff := cmp.Diff(want, gathered(t, registry)); diff != "" {
			t.Errorf("after a list (-want +got):\n%s", diff)
		}
		now = now.Add(ca.CRLInterval + time.Second)
	}
}

// gathered are the values of gauges that have one series each.
func gathered(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if len(f.Metric) != 1 {
			t.Errorf("%s has %d series, want 1", f.GetName(), len(f.Metric))
		}
		values[f.GetName()] = f.Metric[0].Gauge.GetValue()
	}
	return values
}
