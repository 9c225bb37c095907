package tier

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
)

// Metrics of the tiers that a process watches over.
type Metrics struct {
	ready      *prometheus.GaugeVec
	conditions *conditions
}

// NewMetrics makes the metrics and registers them; with nil they are kept unregistered.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{ready: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_tier_ready",
		Help: "1 when the tier is Ready, else 0."}, []string{"namespace", "tier"}), conditions: newConditions()}
	if r != nil {
		r.MustRegister(m.ready, m.conditions)
	}
	return m
}

// show writes what the status says.
func (m *Metrics) show(t *pkiv1.Tier) {
	value := 0.0
	if step.IsReady(t) {
		value = 1
	}
	m.ready.WithLabelValues(t.Namespace, t.Name).Set(value)
}

// forget drops the series of a tier that is gone.
func (m *Metrics) forget(key client.ObjectKey) { m.ready.DeleteLabelValues(key.Namespace, key.Name) }

// reset drops every series: what went while nobody looked would stay for ever.
func (m *Metrics) reset() { m.ready.Reset() }
