package responder

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Metrics tells when the responder certificates end, and by when each should
// have been replaced. It reads the service on each scrape and asks nobody.
type Metrics struct {
	service       *Service
	notAfter, due *prometheus.Desc
}

var _ prometheus.Collector = (*Metrics)(nil)

// NewMetrics returns the metrics of a service, for a registry.
func NewMetrics(s *Service) *Metrics {
	labels := []string{"validation_service", "node", "authority", "generation"}
	return &Metrics{service: s,
		notAfter: prometheus.NewDesc("terrace_responder_certificate_not_after_timestamp_seconds", "notAfter of an OCSP responder's certificate, Unix time; node is empty where this process answers.", labels, nil),
		due:      prometheus.NewDesc("terrace_responder_certificate_due_timestamp_seconds", "By when an OCSP responder's certificate should be replaced: after a third of its validity, Unix time.", labels, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(c chan<- *prometheus.Desc) {
	c <- m.notAfter
	c <- m.due
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(c chan<- prometheus.Metric) {
	for _, h := range m.service.held() {
		labels := []string{h.service, h.node, h.key.Authority, strconv.Itoa(int(h.key.Generation))}
		c <- prometheus.MustNewConstMetric(m.notAfter, prometheus.GaugeValue, float64(h.notAfter.Unix()), labels...)
		c <- prometheus.MustNewConstMetric(m.due, prometheus.GaugeValue, float64(h.due.Unix()), labels...)
	}
}

// held is one responder certificate.
type held struct {
	service, node string
	key           authority.IssuerKey
	notAfter, due time.Time
}

// held returns the certificates of every holder that is wanted by now.
func (s *Service) held() (all []held) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, spec := range s.specs {
		nodes := []string{""}
		if len(spec.Nodes) > 0 {
			nodes = nil
		}
		for _, n := range spec.Nodes {
			nodes = append(nodes, n.Name)
		}
		for _, node := range nodes {
			for key, served := range s.served[holderID(spec.ID(), node)] {
				end := served.Certificate.NotAfter
				// Issued somewhere in its window, it is replaced when the next begins.
				due := end.Add(-spec.ResponderValidity * (windows - 1) / windows)
				all = append(all, held{spec.ID(), node, key, end, due})
			}
		}
	}
	return all
}
