package app

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// On a restored ledger nothing is told to others until it is reconciled.
func TestRestoredLedgerTellsNobody(t *testing.T) {
	dir := t.TempDir()
	name := func(file string) string { return "sqlite:" + filepath.Join(dir, file) }
	before, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "before.db"), TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if _, err := BackUpLedger(t.Context(), name("before.db"), filepath.Join(dir, "backup"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := RestoreLedger(t.Context(), name("after.db"), filepath.Join(dir, "backup"), "", false, nil); err != nil {
		t.Fatal(err)
	}
	store, err := Core{LedgerDSN: name("after.db")}.openLedger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	registry := prometheus.NewRegistry()
	k := &core{store: store, authorities: authority.New(authority.Config{Store: store, Metrics: authority.NewMetrics(registry)})}
	gauge := func() float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "terrace_ledger_unreconciled" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("no gauge")
		return 0
	}
	if err := k.authorities.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if gauge() != 1 {
		t.Error("nobody is alerted")
	}
	ran := make(chan struct{})
	held := k.reconciled(logr.Discard(), []func(context.Context) error{func(context.Context) error { close(ran); return nil }})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := held[0](ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ran:
		t.Fatal("the service ran on a restored ledger")
	default:
	}
	source := ledgerSource{store, k.authorities.Restored}
	if _, err := source.Status(t.Context(), ocsp.IssuerKey{Authority: "BusinessCA/a/b", Generation: 1}, pki.Serial("01")); !errors.Is(err, authority.ErrRestored) {
		t.Errorf("OCSP is answered: %v", err)
	}
	files := ledgerCatalog("a/b", store, k.authorities)
	for name, read := range map[string]func(context.Context, authority.IssuerKey, int32) (authority.CRL, error){"list": files.crl, "delta": files.delta} {
		if _, err := read(t.Context(), authority.IssuerKey{}, 0); !errors.Is(err, authority.ErrRestored) {
			t.Errorf("a %s is given: %v", name, err)
		}
	}
	if err := store.(authority.Recovery).Reconciled(t.Context(), map[string]string{}); err != nil {
		t.Fatal(err)
	}
	if err := k.authorities.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := held[0](t.Context()); err != nil {
		t.Fatal(err)
	}
	<-ran
	if gauge() != 0 {
		t.Error("the alert does not end")
	}
	if got, err := source.Status(t.Context(), ocsp.IssuerKey{Authority: "BusinessCA/a/b", Generation: 1}, pki.Serial("01")); err != nil || got != (ocsp.Status{}) {
		t.Errorf("OCSP after that: %+v, %v", got, err)
	}
}
