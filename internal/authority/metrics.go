package authority

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of the authorities. Labels name CAs, never subscribers.
type Metrics struct {
	issued    *prometheus.CounterVec
	slices    *prometheus.HistogramVec
	abandon   *prometheus.CounterVec
	crlNext   *prometheus.GaugeVec
	crlFails  *prometheus.CounterVec
	deltaNext *prometheus.GaugeVec
	crlNumber *prometheus.GaugeVec
	acts      *prometheus.CounterVec
	feedHead  prometheus.Gauge
	restored  prometheus.Gauge

	auditUnsequenced prometheus.Gauge
	auditSigned      *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them; with nil they are kept unregistered.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_certificates_issued_total",
			Help: "Certificates issued by this process, by CA."}, []string{"authority"}),
		slices: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "terrace_issuance_cycle_seconds",
			Help: "Duration of one pass of the issuance cycle, by CA.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"authority"}),
		abandon: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_serials_abandoned_total",
			Help: "Serials abandoned between intent and record, by CA."}, []string{"authority"}),
		crlNext: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_crl_next_update_timestamp_seconds",
			Help: "nextUpdate of the current full CRL, Unix time."}, []string{"authority", "shard"}),
		deltaNext: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_delta_crl_next_update_timestamp_seconds",
			Help: "nextUpdate of the newest delta CRL, Unix time."}, []string{"authority", "shard"}),
		crlNumber: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_crl_number",
			Help: "Number of the current full CRL."}, []string{"authority", "shard"}),
		crlFails: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_crl_failures_total",
			Help: "Attempts to make a CRL that failed, by CA."}, []string{"authority"}),
		acts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_revocation_acts_total",
			Help: "Acts performed, by verb (Revoke, Hold, Release) and result: Done, Adopted, or why it was refused."}, []string{"verb", "result"}),
		feedHead: prometheus.NewGauge(prometheus.GaugeOpts{Name: "terrace_feed_head",
			Help: "Highest number of the change feed."}),
		restored: prometheus.NewGauge(prometheus.GaugeOpts{Name: "terrace_ledger_unreconciled",
			Help: "1 while the ledger is restored from a backup and not reconciled: nothing is issued."}),
		auditUnsequenced: prometheus.NewGauge(prometheus.GaugeOpts{Name: "terrace_audit_leaves_unsequenced",
			Help: "Audit leaves that no signed checkpoint covers yet; told by the process that leads."}),
		auditSigned: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_audit_checkpoint_timestamp_seconds",
			Help: "When the newest checkpoint of the audit log was signed, Unix time; absent when none was."}, nil),
	}
	if r != nil {
		r.MustRegister(m.issued, m.slices, m.abandon, m.crlNext, m.deltaNext, m.crlNumber, m.crlFails, m.acts, m.feedHead, m.restored, m.auditUnsequenced, m.auditSigned)
	}
	return m
}

func (m *Metrics) observeSlice(k IssuerKey, n int, d time.Duration) {
	m.issued.WithLabelValues(k.Authority).Add(float64(n))
	m.slices.WithLabelValues(k.Authority).Observe(d.Seconds())
}

func (m *Metrics) auditBehind(leaves int64, signedAt time.Time) {
	m.auditUnsequenced.Set(float64(leaves))
	if !signedAt.IsZero() {
		m.auditSigned.WithLabelValues().Set(float64(signedAt.UnixMilli()) / 1000)
	}
}

func (m *Metrics) abandoned(k IssuerKey) { m.abandon.WithLabelValues(k.Authority).Inc() }
func (m *Metrics) crlFailed(k IssuerKey) { m.crlFails.WithLabelValues(k.Authority).Inc() }

func (m *Metrics) performed(p Performed) {
	result := "Done"
	switch {
	case p.Adopted:
		result = "Adopted"
	case p.Refusal != "":
		result = string(p.Refusal)
	}
	m.acts.WithLabelValues(string(p.Verb), result).Inc()
}

func (m *Metrics) crlCurrent(k IssuerKey, shard int32, c CRL) {
	// Shown before the first: a series that begins at 1 has not grown for Prometheus.
	m.abandon.WithLabelValues(k.Authority)
	m.crlFails.WithLabelValues(k.Authority)
	s := strconv.Itoa(int(shard))
	if c.IsDelta() {
		m.deltaNext.WithLabelValues(k.Authority, s).Set(float64(c.NextUpdate.Unix()))
		return
	}
	m.crlNext.WithLabelValues(k.Authority, s).Set(float64(c.NextUpdate.Unix()))
	m.crlNumber.WithLabelValues(k.Authority, s).Set(float64(c.Number))
}

func (m *Metrics) setRestored(restored bool) {
	m.restored.Set(map[bool]float64{true: 1}[restored])
}
