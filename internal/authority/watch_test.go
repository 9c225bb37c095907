package authority_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// runFeed watches the ledger until the test ends.
func runFeed(t *testing.T, s *authority.Service) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.WatchLedger(ctx, logr.Discard()) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// awaitRecord reads the feed as a consumer does until it shows what is wanted.
func awaitRecord(t *testing.T, s *authority.Service, after int64, what string, wanted func(authority.Record) bool) (next int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for next = after; ; {
		more := s.Changed()
		changes, n, err := s.Feed().Changes(ctx, next, authority.MaxChanges)
		if err != nil {
			t.Fatalf("wait for %s: %v", what, err)
		}
		next = n
		for _, c := range changes {
			if c.Record != nil && wanted(*c.Record) {
				return next
			}
		}
		if len(changes) > 0 {
			continue
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("no %s in the feed", what)
		}
	}
}

func TestFeedWakesConsumers(t *testing.T) {
	f := newFixture(t)
	runFeed(t, f.Service)
	record := f.issue(t, 1)
	next := awaitRecord(t, f.Service, 0, "certificate", func(r authority.Record) bool { return r.Serial == record.Serial && r.Certificate != nil })
	if _, err := f.Perform(t.Context(), act("revoke", authority.VerbRevoke, record)); err != nil {
		t.Fatal(err)
	}
	awaitRecord(t, f.Service, next, "revocation", func(r authority.Record) bool { return r.Serial == record.Serial && r.Revocation != nil })
}

// The watch outlives a failure of each of its calls.
func TestWatchFails(t *testing.T) {
	for _, call := range []string{"Heads", "Renew", "AllAccepted"} {
		t.Run(call, func(t *testing.T) {
			f := newFixture(t)
			f.store.FailBefore(call, errors.New("boom"))
			runFeed(t, f.Service)
			record := f.issue(t, 1)
			awaitRecord(t, f.Service, 0, "certificate", func(r authority.Record) bool { return r.Serial == record.Serial })
			for deadline := time.Now().Add(5 * time.Second); f.store.Pending() != 0; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the watch did not meet the failure")
				}
			}
			f.issue(t, 2)
		})
	}
}

// Settings that another process accepted are taken up.
func TestWatchTakesUpSettings(t *testing.T) {
	f := newFixture(t)
	runFeed(t, f.Service)
	other := authority.New(authority.Config{Store: f.store})
	if err := other.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	settings := other.All()[0].Settings
	settings.CRLInterval += time.Minute
	if err := other.Accept(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if ca, err := f.CA(settings.Key); err == nil && ca.CRLInterval == settings.CRLInterval {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the settings were not taken up")
		}
	}
}

// A process that was taken over is told by the watch although it writes nothing.
func TestFeedOfTakenOverProcess(t *testing.T) {
	s, _, path := newAuthority(t)
	runFeed(t, s)
	newer, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	defer newer.Close()
	select {
	case <-s.Fenced():
	case <-time.After(10 * time.Second):
		t.Error("not told that it was taken over")
	}
}

func TestFeedAndActMetrics(t *testing.T) {
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: t.TempDir() + "/ledger.db", TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	registry := prometheus.NewRegistry()
	s := authority.New(authority.Config{Store: store, Metrics: authority.NewMetrics(registry)})
	key := authority.IssuerKey{Authority: "IndustryCA/bench/ca", Generation: 1}
	begun, err := store.Begin(t.Context(), key, 1, []authority.Identity{{Kind: "K", Name: "n"}})
	if err != nil {
		t.Fatal(err)
	}
	serial := begun[0].Serial
	if err := errors.Join(
		store.RecordIntent(t.Context(), key, []authority.Intent{{Identity: begun[0].Identity, Serial: serial, Attempt: 1, TBS: []byte{0x30, 0}, NotAfter: time.Now().Add(time.Hour)}}),
		store.RecordIssued(t.Context(), key, []authority.Issued{{Serial: serial, Certificate: []byte{0x30, 5, 0x30, 0, 3, 1, 0}}})); err != nil {
		t.Fatal(err)
	}
	for _, a := range []authority.Act{act("hold", authority.VerbHold, begun[0].Record), act("hold", authority.VerbHold, begun[0].Record), act("again", authority.VerbHold, begun[0].Record)} {
		if _, err := s.Perform(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	runFeed(t, s)
	awaitRecord(t, s, 0, "hold", func(r authority.Record) bool { return r.Revocation != nil })
	value := func(name string, labels ...string) float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() != name || len(labels) > 0 && (m.GetLabel()[0].GetValue() != labels[0] || m.GetLabel()[1].GetValue() != labels[1]) {
					continue
				}
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		t.Fatalf("no metric %s %v", name, labels)
		return 0
	}
	for _, result := range []string{"Done", "Adopted", "AlreadyOnHold"} {
		if n := value("terrace_revocation_acts_total", result, "Hold"); n != 1 {
			t.Errorf("%v holds are %s, want 1", n, result)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); value("terrace_feed_head") != 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("feed head %v, want 2", value("terrace_feed_head"))
		}
	}
}
