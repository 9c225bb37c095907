package link

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of all links of a process. Labels name processes and methods.
type Metrics struct {
	calls          *prometheus.CounterVec
	callSeconds    *prometheus.HistogramVec
	requests       *prometheus.CounterVec
	requestSeconds *prometheus.HistogramVec
	rejected       *prometheus.CounterVec
}

// rejections are the causes before a message is judged.
var rejections = []string{"tls", "stopping", "busy", "too-large", "read", "sign"}

// NewMetrics makes the metrics and registers them; with nil they are kept unregistered.
func NewMetrics(r prometheus.Registerer) *Metrics {
	buckets := prometheus.ExponentialBuckets(0.001, 2, 16)
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_link_calls_total",
			Help: "Attempts to call a peer, by result: ok, the error's code, unavailable, bad-response or cancelled."}, []string{"peer", "method", "result"}),
		callSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "terrace_link_call_seconds",
			Help: "Duration of one attempt to call a peer.", Buckets: buckets}, []string{"peer", "method"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_link_requests_total",
			Help: "Calls of peers that were handled, by result: ok or the error's code."}, []string{"peer", "method", "result"}),
		requestSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "terrace_link_request_seconds",
			Help: "Duration of handling a peer's call.", Buckets: buckets}, []string{"peer", "method"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_link_rejected_total",
			Help: "Messages and connections that were refused, by cause."}, []string{"cause"}),
	}
	// Shown before the first: a series that begins at 1 has not grown for Prometheus.
	for _, cause := range rejections {
		m.rejected.WithLabelValues(cause)
	}
	for _, code := range receiverCodes {
		m.rejected.WithLabelValues(code.Code)
	}
	if r != nil {
		r.MustRegister(m.calls, m.callSeconds, m.requests, m.requestSeconds, m.rejected)
	}
	return m
}

func (m *Metrics) called(peer, method, result string, d time.Duration) {
	m.calls.WithLabelValues(peer, method, result).Inc()
	m.callSeconds.WithLabelValues(peer, method).Observe(d.Seconds())
}

func (m *Metrics) handled(peer, method, result string, d time.Duration) {
	m.requests.WithLabelValues(peer, method, result).Inc()
	m.requestSeconds.WithLabelValues(peer, method).Observe(d.Seconds())
}

func (m *Metrics) reject(cause string) { m.rejected.WithLabelValues(cause).Inc() }
