package app

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// headed is a ledger whose feed has the head that the test says.
type headed struct {
	*authoritytest.Faulty
	head int64
}

func (h *headed) Head(context.Context) (int64, error) { return h.head, nil }

type watched struct{ Writable, Errors, Backlog, Lag float64 }

func TestLedgerWatch(t *testing.T) {
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "ledger.db"), TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	ledger, registry, now := &headed{Faulty: authoritytest.NewFaulty(store)}, prometheus.NewRegistry(), time.Unix(1_000_000, 0)
	consumers := []string{"directory/t/d"}
	w := newLedgerWatch(ledger, registry, func() time.Time { return now }, func() []string { return consumers })
	broken := errors.New("disk is full")
	look := func(when string, wantErr error, want watched) {
		t.Helper()
		if err := w.look(t.Context()); !errors.Is(err, wantErr) {
			t.Errorf("%s: got error %v, want %v", when, err, wantErr)
		}
		if diff := cmp.Diff(want, watchedBy(t, registry)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	confirm := func(position int64) {
		t.Helper()
		if err := store.SetPosition(t.Context(), consumers[0], position); err != nil {
			t.Fatal(err)
		}
	}
	look("at first", nil, watched{Writable: 1})
	ledger.head = 5
	look("changes came", nil, watched{Writable: 1, Backlog: 5})
	now, ledger.head = now.Add(time.Minute), 8
	look("they wait", nil, watched{Writable: 1, Backlog: 8, Lag: 60})
	confirm(5) // the three behind them are seen to wait from now on
	look("some are confirmed", nil, watched{Writable: 1, Backlog: 3})
	now = now.Add(time.Minute)
	ledger.FailBefore("SetPosition", broken)
	look("no write is taken", broken, watched{Errors: 1, Backlog: 3, Lag: 60})
	ledger.FailBefore("Position", broken)
	now = now.Add(time.Minute)
	look("the position cannot be read", broken, watched{Writable: 1, Errors: 2, Backlog: 3, Lag: 60})
	confirm(8)
	look("all are confirmed", nil, watched{Writable: 1, Errors: 2})
	ledger.head, consumers = 9, nil
	look("the consumer is gone", nil, watched{Writable: 1, Errors: 2, Backlog: -1, Lag: -1})
}

// watchedBy reads the metrics; -1 is for a series that is not there.
func watchedBy(t *testing.T, from prometheus.Gatherer) watched {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	w := watched{-1, -1, -1, -1}
	for _, f := range families {
		switch m := f.Metric[0]; f.GetName() {
		case "terrace_ledger_writable":
			w.Writable = m.Gauge.GetValue()
		case "terrace_ledger_errors_total":
			w.Errors = m.Counter.GetValue()
		case "terrace_feed_consumer_backlog":
			w.Backlog = m.Gauge.GetValue()
		case "terrace_feed_consumer_lag_seconds":
			w.Lag = m.Gauge.GetValue()
		}
	}
	return w
}

var _ positions = (authority.Store)(nil)
