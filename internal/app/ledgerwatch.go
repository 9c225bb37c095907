package app

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// ledgerWatchInterval is how often the ledger is asked for a write.
	ledgerWatchInterval = 10 * time.Second
	// ledgerWatchTimeout bounds what is asked of the ledger at one time.
	ledgerWatchTimeout = 5 * time.Second
	// ledgerWatcher is a consumer of the feed that does nothing but confirm: a real
	// write, which also meets a full disk, a lock and a take-over.
	ledgerWatcher = "watch/ledger"
)

// positions is what ledgerWatch needs of a ledger.
type positions interface {
	Head(ctx context.Context) (int64, error)
	Position(ctx context.Context, consumer string) (int64, error)
	SetPosition(ctx context.Context, consumer string, seq int64) error
}

// ledgerWatch measures whether the ledger takes writes, and how far those who
// read its feed are behind, whether they run or not.
type ledgerWatch struct {
	ledger    positions
	consumers []func() []string
	now       func() time.Time

	writable      prometheus.Gauge
	failures      prometheus.Counter
	backlog, lags *prometheus.GaugeVec

	behind map[string]behind // by consumer
}

// behind: at the time, the feed had head, which the consumer had not confirmed.
type behind struct {
	head int64
	at   time.Time
}

// newLedgerWatch registers the metrics; consumers name those who read the feed.
func newLedgerWatch(ledger positions, r prometheus.Registerer, now func() time.Time, consumers ...func() []string) *ledgerWatch {
	w := &ledgerWatch{ledger: ledger, consumers: consumers, now: now, behind: map[string]behind{},
		writable: prometheus.NewGauge(prometheus.GaugeOpts{Name: "terrace_ledger_writable",
			Help: "1 when the ledger took the last write that it was asked for, every 10 seconds, else 0."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "terrace_ledger_errors_total",
			Help: "Looks at the ledger, every 10 seconds, in which a read or a write failed."}),
		backlog: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_feed_consumer_backlog",
			Help: "Changes of the feed that a consumer, a directory or a validation node, has not confirmed."}, []string{"consumer"}),
		lags: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "terrace_feed_consumer_lag_seconds",
			Help: "For how long at least the oldest change waits that a consumer has not confirmed; after a restart, since the restart."}, []string{"consumer"}),
	}
	r.MustRegister(w.writable, w.failures, w.backlog, w.lags)
	return w
}

// run looks until ctx ends.
func (w *ledgerWatch) run(ctx context.Context, log logr.Logger) error {
	failed := false // a failure is said once, and its end once
	for {
		err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failed:
			log.Error(err, "the ledger does not do what it is asked")
		case err == nil && failed:
			log.Info("the ledger does what it is asked again")
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(ledgerWatchInterval):
		}
	}
}

func (w *ledgerWatch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ledgerWatchTimeout)
	defer cancel()
	head, err := w.ledger.Head(ctx)
	writable := 0.0
	if err == nil {
		// Reads first: a write that hangs uses the time up.
		err = w.measure(ctx, head)
		writeErr := w.ledger.SetPosition(ctx, ledgerWatcher, head)
		if writeErr == nil {
			writable = 1
		}
		err = errors.Join(err, writeErr)
	}
	w.writable.Set(writable)
	if err != nil {
		w.failures.Inc()
	}
	return err
}

// measure shows how far each consumer is behind head. One that cannot be read
// stays as it was.
func (w *ledgerWatch) measure(ctx context.Context, head int64) error {
	var failures []error
	seen := map[string]behind{}
	for _, names := range w.consumers {
		for _, name := range names() {
			position, err := w.ledger.Position(ctx, name)
			if err != nil {
				failures, seen[name] = append(failures, err), w.behind[name]
				continue
			}
			seen[name] = w.mark(name, position, head)
		}
	}
	for name := range w.behind {
		if _, still := seen[name]; !still {
			w.backlog.DeleteLabelValues(name)
			w.lags.DeleteLabelValues(name)
		}
	}
	w.behind = seen
	return errors.Join(failures...)
}

// mark keeps one change that waits, and takes a later one when it is confirmed:
// steady work is no lag, and what stands still grows old.
func (w *ledgerWatch) mark(name string, position, head int64) behind {
	m, now := w.behind[name], w.now()
	if position >= m.head {
		m = behind{head, now}
	}
	waits := time.Duration(0)
	if position < m.head {
		waits = max(0, now.Sub(m.at))
	}
	w.backlog.WithLabelValues(name).Set(float64(max(0, head-position)))
	w.lags.WithLabelValues(name).Set(waits.Seconds())
	return m
}
