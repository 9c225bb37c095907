package authority

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// StateMetrics tells of each CA when its certificate ends and, in the process that
// makes the lists, when the next are due. It reads the service on each scrape and
// asks nobody.
type StateMetrics struct {
	service       *Service
	notAfter, due *prometheus.Desc
}

var _ prometheus.Collector = (*StateMetrics)(nil)

// NewStateMetrics returns the metrics of a service, for a registry.
func NewStateMetrics(s *Service) *StateMetrics {
	return &StateMetrics{service: s,
		notAfter: prometheus.NewDesc("terrace_ca_certificate_not_after_timestamp_seconds", "notAfter of a CA's certificate, Unix time, by key generation.", []string{"authority", "generation"}, nil),
		due:      prometheus.NewDesc("terrace_crl_due_timestamp_seconds", "When the next full CRL is due: thisUpdate of the current one and the interval, Unix time; absent while none is known, and where another process makes them.", []string{"authority", "shard"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *StateMetrics) Describe(c chan<- *prometheus.Desc) {
	c <- m.notAfter
	c <- m.due
}

// Collect implements prometheus.Collector.
func (m *StateMetrics) Collect(c chan<- prometheus.Metric) {
	newest := map[string]*CA{}
	for _, ca := range m.service.All() {
		m.send(c, m.notAfter, ca.Cert.NotAfter, ca.Key.Authority, strconv.Itoa(int(ca.Key.Generation)))
		if known := newest[ca.Key.Authority]; known == nil || known.Key.Generation < ca.Key.Generation {
			newest[ca.Key.Authority] = ca
		}
	}
	select {
	case <-m.service.Leads():
	default:
		return // another process makes the lists; this one knows of old ones at most
	}
	// As the other metrics of lists: those of the newest generation.
	for _, ca := range newest {
		for shard := range ca.MaxShards {
			if due, known := m.service.crlDue(ca, shard); known {
				m.send(c, m.due, due, ca.Key.Authority, strconv.Itoa(int(shard)))
			}
		}
	}
}

func (m *StateMetrics) send(c chan<- prometheus.Metric, d *prometheus.Desc, at time.Time, labels ...string) {
	c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(at.Unix()), labels...)
}

// crlDue is when the next list of a shard is to be made, as far as this process knows.
func (s *Service) crlDue(ca *CA, shard int32) (due time.Time, known bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	made := s.crlMade[crlName{ca.Key, shard}].full
	return made.Add(ca.CRLInterval), !made.IsZero()
}
