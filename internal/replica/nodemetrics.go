package replica

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// NodeMetrics says how old and how large a node's knowledge is.
type NodeMetrics struct {
	node                                            *Node
	now                                             func() time.Time
	age, asOf, position, behind, serials, refilling *prometheus.Desc
	auditSize, auditRefused                         *prometheus.Desc
}

var _ prometheus.Collector = (*NodeMetrics)(nil)

// NewNodeMetrics returns the metrics of a node, for a registry.
func NewNodeMetrics(n *Node, now func() time.Time) *NodeMetrics {
	return &NodeMetrics{node: n, now: now,
		age:          prometheus.NewDesc("terrace_replica_push_age_seconds", "Seconds since the last push was applied; absent when none ever was.", nil, nil),
		asOf:         prometheus.NewDesc("terrace_replica_as_of_age_seconds", "Seconds since this node last held everything that the ledger had, which is the age of its OCSP answers; absent when it never did.", nil, nil),
		position:     prometheus.NewDesc("terrace_replica_position", "Number of the change up to which this node holds all.", nil, nil),
		behind:       prometheus.NewDesc("terrace_replica_backlog", "Changes that the last push said this node does not hold yet.", nil, nil),
		serials:      prometheus.NewDesc("terrace_replica_serials", "Serials whose status this node holds.", nil, nil),
		refilling:    prometheus.NewDesc("terrace_replica_refilling", "1 while this node is filled anew because the ledger was restored from an older backup, else 0.", nil, nil),
		auditSize:    prometheus.NewDesc("terrace_replica_audit_leaves", "Leaves of the audit checkpoint that this node holds.", nil, nil),
		auditRefused: prometheus.NewDesc("terrace_replica_audit_refused", "1 while this node has refused an audit checkpoint that contradicts the one that it holds, else 0.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *NodeMetrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.age, m.asOf, m.position, m.behind, m.serials, m.refilling, m.auditSize, m.auditRefused} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (m *NodeMetrics) Collect(c chan<- prometheus.Metric) {
	s := m.node.Known()
	gauge := func(d *prometheus.Desc, v float64) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	if !s.PushedAt.IsZero() {
		gauge(m.age, m.now().Sub(s.PushedAt).Seconds())
	}
	if !s.AsOf.IsZero() {
		gauge(m.asOf, m.now().Sub(s.AsOf).Seconds())
	}
	gauge(m.position, float64(s.Position))
	gauge(m.behind, float64(max(s.Head-s.Position, 0)))
	gauge(m.serials, float64(s.Serials))
	refilling := 0.0
	if s.Refilling {
		refilling = 1
	}
	gauge(m.refilling, refilling)
	gauge(m.auditSize, float64(s.AuditSize))
	refused := 0.0
	if s.AuditRefused != "" {
		refused = 1
	}
	gauge(m.auditRefused, refused)
}
