package replica

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// NodeMetrics says how old and how large a node's knowledge is.
type NodeMetrics struct {
	node                           *Node
	now                            func() time.Time
	age, position, behind, serials *prometheus.Desc
}

var _ prometheus.Collector = (*NodeMetrics)(nil)

// NewNodeMetrics returns the metrics of a node, for a registry.
func NewNodeMetrics(n *Node, now func() time.Time) *NodeMetrics {
	return &NodeMetrics{node: n, now: now,
		age:      prometheus.NewDesc("terrace_replica_push_age_seconds", "Seconds since the last push was applied; absent when none ever was.", nil, nil),
		position: prometheus.NewDesc("terrace_replica_position", "Number of the change up to which this node holds all.", nil, nil),
		behind:   prometheus.NewDesc("terrace_replica_backlog", "Changes that the last push said this node does not hold yet.", nil, nil),
		serials:  prometheus.NewDesc("terrace_replica_serials", "Serials whose status this node holds.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *NodeMetrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.age, m.position, m.behind, m.serials} {
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
	gauge(m.position, float64(s.Position))
	gauge(m.behind, float64(max(s.Head-s.Position, 0)))
	gauge(m.serials, float64(s.Serials))
}
