package replica

import "github.com/prometheus/client_golang/prometheus"

// SenderMetrics of all nodes, by the node's name.
type SenderMetrics struct {
	backlog  *prometheus.GaugeVec
	position *prometheus.GaugeVec
	pushedAt *prometheus.GaugeVec
	failures *prometheus.CounterVec
	refills  *prometheus.CounterVec
	changes  *prometheus.CounterVec
}

// NewSenderMetrics makes the metrics and registers them; with nil they are kept unregistered.
func NewSenderMetrics(r prometheus.Registerer) *SenderMetrics {
	node := []string{"node"}
	m := &SenderMetrics{
		backlog: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_validation_push_backlog",
			Help: "Changes that a validation node does not hold yet."}, node),
		position: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_validation_push_position",
			Help: "Number of the change up to which a validation node holds all."}, node),
		pushedAt: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_validation_push_success_timestamp_seconds",
			Help: "When a validation node last confirmed a push, Unix time."}, node),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_validation_push_failures_total",
			Help: "Attempts to push to a validation node that failed."}, node),
		refills: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_validation_refills_total",
			Help: "Refills of a validation node because the ledger was restored from an older backup."}, node),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_validation_pushed_changes_total",
			Help: "Changes of serials that a validation node confirmed."}, node),
	}
	if r != nil {
		r.MustRegister(m.backlog, m.position, m.pushedAt, m.failures, m.refills, m.changes)
	}
	return m
}

// forget takes away what is known of a node that is no target any more.
func (m *SenderMetrics) forget(node string) {
	for _, v := range []interface{ DeleteLabelValues(...string) bool }{m.backlog, m.position, m.pushedAt, m.failures, m.refills, m.changes} {
		v.DeleteLabelValues(node)
	}
}
