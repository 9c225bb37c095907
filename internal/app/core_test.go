package app

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/store/postgres"
	"github.com/terrace-pki/terrace/internal/store/postgres/postgrestest"
)

// Of two processes that share a ledger one runs what only one may; the other
// follows until the first falls silent, and then takes over.
func TestOneOfTwoLeads(t *testing.T) {
	dsn := postgrestest.Start(t)
	type process struct {
		led, followed atomic.Bool
		stop          context.CancelFunc
		ended         chan error
	}
	start := func(instance string) *process {
		store, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, TakeOver: true, Instance: instance})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		k := &core{store: store, devices: device.NewRegistry(),
			authorities: authority.New(authority.Config{Store: store, Silence: 2 * time.Second})}
		p := &process{ended: make(chan error, 1)}
		ctx, stop := context.WithCancel(context.Background())
		p.stop = stop
		t.Cleanup(stop)
		until := func(flag *atomic.Bool) service {
			return func(ctx context.Context) error { flag.Store(true); <-ctx.Done(); return nil }
		}
		go func() {
			p.ended <- runUntil(ctx, func(ctx context.Context) error {
				if err := k.untilLeading(ctx, until(&p.followed)); err != nil || ctx.Err() != nil {
					return err
				}
				return until(&p.led)(ctx)
			}, k.authorities.Fenced(), append(k.whenLeading(until(new(atomic.Bool))),
				func(ctx context.Context) error { return k.authorities.WatchLedger(ctx, logr.Discard()) })...)
		}()
		return p
	}
	await := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not in 30 s: %s", what)
			}
		}
	}
	first := start("ca-0")
	await("the first leads", first.led.Load)
	second := start("ca-1")
	await("the second follows", second.followed.Load)
	if second.led.Load() || first.followed.Load() {
		t.Error("both lead, or the first followed")
	}
	first.stop()
	if err := <-first.ended; err != nil {
		t.Errorf("a process that was stopped: %v", err)
	}
	await("the second leads", second.led.Load)
	again := start("ca-1")
	if err := <-second.ended; !errors.Is(err, errFenced) {
		t.Errorf("a process whose name another one has now ended with %v, want %v", err, errFenced)
	}
	await("its successor leads", again.led.Load)
}
