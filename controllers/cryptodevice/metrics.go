package cryptodevice

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
)

// Metrics of the devices that a process watches over, by "namespace/name".
type Metrics struct {
	reachable, pinRefused *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	device := []string{"device"}
	m := &Metrics{
		reachable: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_crypto_device_reachable",
			Help: "1 when the crypto device could be opened and logged in to, else 0."}, device),
		pinRefused: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_crypto_device_pin_refused",
			Help: "1 when the crypto device refused the PIN of its Secret, or it is not tried because one try is left, else 0."}, device),
	}
	r.MustRegister(m.reachable, m.pinRefused)
	return m
}

// show writes what the status says.
func (m *Metrics) show(name string, obj *pkiv1.CryptoDevice) {
	if m == nil {
		return
	}
	c := meta.FindStatusCondition(obj.Status.Conditions, pkiv1.ConditionReachable)
	if c == nil {
		return // not looked at yet
	}
	m.set(name, c.Status == "True", c.Reason)
}

// opened writes what came of opening a device whose status another process writes.
func (m *Metrics) opened(name string, err error) {
	if m == nil {
		return
	}
	reason := ""
	if why := (*step.NotReady)(nil); errors.As(err, &why) {
		reason = why.Reason
	}
	m.set(name, err == nil, reason)
}

func (m *Metrics) set(name string, reachable bool, reason string) {
	m.reachable.WithLabelValues(name).Set(number(reachable))
	m.pinRefused.WithLabelValues(name).Set(number(reason == pkiv1.ReasonPINRefused || reason == pkiv1.ReasonPINLastTry))
}

// forget drops the series of a device that is gone.
func (m *Metrics) forget(name string) {
	if m == nil {
		return
	}
	m.reachable.DeleteLabelValues(name)
	m.pinRefused.DeleteLabelValues(name)
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
