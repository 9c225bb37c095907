package publishing

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/directory"
)

// ErrLedger: the ledger, not a directory, is the trouble.
var ErrLedger = errors.New("ledger is unavailable")

// State of a server.
type State string

// States of a server, as in the API.
const (
	InStep      State = "InStep"
	CatchingUp  State = "CatchingUp"
	Unreachable State = "Unreachable"
)

// InStepLag is how far behind a server may be and still count as in step, so
// that steady work does not make the state flap.
const InStepLag = 10 * time.Second

// ServerStatus says how one server of a directory stands.
type ServerStatus struct {
	Name  string
	State State
	// Lag is for how long the oldest change that the server does not hold is
	// known to wait; after a restart, since the restart.
	Lag time.Duration
	// Backlog counts the changes that the server does not hold yet.
	Backlog int64
	// Drift counts entries that were changed behind our back, found and repaired
	// by the last comparison; DriftTotal since the process started.
	Drift, DriftTotal int64
	// VerifiedAt is when the last full comparison ended; zero for never.
	VerifiedAt time.Time
	// LastError is nil when the last attempt went well.
	LastError error
}

// StateOf sums up: err is the last attempt's, inStep says whether the server
// was ever brought up to date.
func StateOf(err error, inStep bool, lag time.Duration) State {
	switch {
	case errors.Is(err, directory.ErrUnavailable), errors.Is(err, directory.ErrCredentials), errors.Is(err, ErrNoPassword):
		return Unreachable
	case err == nil && inStep && lag < InStepLag:
		return InStep
	}
	return CatchingUp
}

// Metrics of the servers of directories, shared by publishing and pushing.
type Metrics struct {
	backlog, lag *prometheus.GaugeVec
	drift        *prometheus.CounterVec
}

// NewMetrics registers the metrics; a nil registry registers them nowhere.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	labels := []string{"directory", "server"}
	m := &Metrics{
		backlog: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_directory_backlog",
			Help: "Changes that the directory server does not hold yet."}, labels),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_directory_lag_seconds",
			Help: "For how long the oldest change that the directory server does not hold waits."}, labels),
		drift: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "terrace_directory_drift_total",
			Help: "Entries that were changed on the directory server behind our back, found and repaired."}, labels),
	}
	if registry != nil {
		registry.MustRegister(m.backlog, m.lag, m.drift)
	}
	return m
}

// Set shows a server's backlog and lag.
func (m *Metrics) Set(directory string, s ServerStatus) {
	m.backlog.WithLabelValues(directory, s.Name).Set(float64(s.Backlog))
	m.lag.WithLabelValues(directory, s.Name).Set(s.Lag.Seconds())
	m.drift.WithLabelValues(directory, s.Name) // shown before the first
}

// AddDrift counts entries that were repaired.
func (m *Metrics) AddDrift(directory, server string, n int64) {
	m.drift.WithLabelValues(directory, server).Add(float64(n))
}

// Remove forgets a server that is no longer there.
func (m *Metrics) Remove(directory, server string) {
	m.backlog.DeleteLabelValues(directory, server)
	m.lag.DeleteLabelValues(directory, server)
	m.drift.DeleteLabelValues(directory, server)
}
