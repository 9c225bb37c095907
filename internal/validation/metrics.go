package validation

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of all services of a process. Labels say what kind of request it was
// and how it ended, never whom it was about.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	// series are those that were used, so that each request need not look its labels up.
	series sync.Map // from label to series
}

type label struct {
	kind   kind
	result string
}

type series struct {
	requests prometheus.Counter
	duration prometheus.Observer
}

// NewMetrics makes the metrics and registers them; with nil they are kept unregistered.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_validation_requests_total",
			Help: "Requests to the validation services, by kind (ocsp, crl, ca, ctl, other) and result: the certificate's status, the OCSP error, or shed when too many waited; else ok or the HTTP error."},
			[]string{"kind", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "terrace_validation_request_seconds",
			Help: "Duration of requests to the validation services, by kind.", Buckets: prometheus.ExponentialBuckets(0.00025, 2, 16)}, []string{"kind"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.duration)
	}
	return m
}

func (m *Metrics) observe(k kind, result string, d time.Duration) {
	l := label{k, result}
	v, ok := m.series.Load(l)
	if !ok { // results are a few
		v, _ = m.series.LoadOrStore(l, series{m.requests.WithLabelValues(string(k), result), m.duration.WithLabelValues(string(k))})
	}
	s := v.(series)
	s.requests.Inc()
	s.duration.Observe(d.Seconds())
}
