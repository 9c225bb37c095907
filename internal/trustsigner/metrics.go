package trustsigner

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Metrics of the trust lists, by the CA that has them signed.
type Metrics struct {
	next, sequence, entries *prometheus.GaugeVec
	failures                *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them; with nil they are kept unregistered.
func NewMetrics(r prometheus.Registerer) *Metrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"authority"})
	}
	m := &Metrics{
		next:     gauge("terrace_trust_list_next_update_timestamp_seconds", "nextUpdate of the current trust list, Unix time."),
		sequence: gauge("terrace_trust_list_sequence_number", "Sequence number of the current trust list."),
		entries:  gauge("terrace_trust_list_entries", "CA certificates on the current trust list."),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_trust_list_failures_total",
			Help: "Attempts to make a trust list that failed, by CA."}, []string{"authority"}),
	}
	if r != nil {
		r.MustRegister(m.next, m.sequence, m.entries, m.failures)
	}
	return m
}

func (m *Metrics) current(k authority.IssuerKey, s Status) {
	m.next.WithLabelValues(k.Authority).Set(float64(s.NextUpdate.Unix()))
	m.sequence.WithLabelValues(k.Authority).Set(float64(s.Sequence))
	m.entries.WithLabelValues(k.Authority).Set(float64(s.Entries))
}

func (m *Metrics) failed(k authority.IssuerKey) { m.failures.WithLabelValues(k.Authority).Inc() }

func (m *Metrics) forget(k authority.IssuerKey) {
	for _, g := range []*prometheus.GaugeVec{m.next, m.sequence, m.entries} {
		g.DeleteLabelValues(k.Authority)
	}
	m.failures.DeleteLabelValues(k.Authority)
}
