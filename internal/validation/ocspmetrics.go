package validation

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/ocsp"
)

// OCSPMetrics says how the responders of a process come by their answers.
type OCSPMetrics struct {
	shared                                          *ocsp.Shared
	hits, signed, shed, waiting, entries, usedBytes *prometheus.Desc
}

var _ prometheus.Collector = (*OCSPMetrics)(nil)

// NewOCSPMetrics returns the metrics of what responders share, for a registry.
func NewOCSPMetrics(shared *ocsp.Shared) *OCSPMetrics {
	lane := []string{"lane"}
	return &OCSPMetrics{shared: shared,
		hits:      prometheus.NewDesc("terrace_ocsp_cache_hits_total", "OCSP requests answered with a response that was signed before.", nil, nil),
		signed:    prometheus.NewDesc("terrace_ocsp_signatures_total", "OCSP responses signed.", nil, nil),
		shed:      prometheus.NewDesc("terrace_ocsp_shed_total", "OCSP requests answered with tryLater because too many waited, by lane: reusable; single for those with a nonce, for several certificates or for unknown ones; lookup before either.", lane, nil),
		waiting:   prometheus.NewDesc("terrace_ocsp_waiting", "OCSP requests that wait now, by lane.", lane, nil),
		entries:   prometheus.NewDesc("terrace_ocsp_cache_entries", "Signed OCSP responses that are kept.", nil, nil),
		usedBytes: prometheus.NewDesc("terrace_ocsp_cache_bytes", "Memory of the signed OCSP responses that are kept, about.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *OCSPMetrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.hits, m.signed, m.shed, m.waiting, m.entries, m.usedBytes} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (m *OCSPMetrics) Collect(c chan<- prometheus.Metric) {
	u := m.shared.Usage()
	put := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	put(m.hits, prometheus.CounterValue, float64(u.Hits))
	put(m.signed, prometheus.CounterValue, float64(u.Signed))
	put(m.entries, prometheus.GaugeValue, float64(u.Entries))
	put(m.usedBytes, prometheus.GaugeValue, float64(u.Bytes))
	for name, l := range map[string]ocsp.LaneUsage{"reusable": u.Reusable, "single": u.Single, "lookup": u.LookUps} {
		put(m.shed, prometheus.CounterValue, float64(l.Shed), name)
		put(m.waiting, prometheus.GaugeValue, float64(l.Waiting), name)
	}
}
