package authority_test

import (
	"context"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// clock stands still until it is moved, in the middle of a second.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(int64(time.Duration(time.Now().Unix())*time.Second + time.Second/2))
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d)) }

// deltaFixture is an authority that makes a full list each hour, valid for two,
// and a delta every ten minutes.
type deltaFixture struct {
	*authority.Service
	clock *clock
	key   authority.IssuerKey
	store authority.Store
}

func newDeltas(t *testing.T, change func(*authority.Settings)) deltaFixture {
	t.Helper()
	f := deltaFixture{clock: newClock()}
	var path string
	f.Service, f.key, path = newAuthorityAt(t, f.clock.now)
	f.accept(t, func(s *authority.Settings) { s.DeltaInterval = 10 * time.Minute })
	if change != nil {
		f.accept(t, change)
	}
	var err error
	if f.store, err = sqlite.Open(t.Context(), sqlite.Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.store.Close() })
	return f
}

func (f deltaFixture) accept(t *testing.T, change func(*authority.Settings)) {
	t.Helper()
	ca, err := f.CA(f.key)
	if err != nil {
		t.Fatal(err)
	}
	settings := ca.Settings
	change(&settings)
	if err := f.Accept(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
}

func (f deltaFixture) ensure(t *testing.T, want bool) {
	t.Helper()
	if made, err := f.EnsureCRL(t.Context(), f.key, 0); err != nil || made != want {
		t.Fatalf("ensure CRL: made %t, %v, want %t", made, err, want)
	}
}

func (f deltaFixture) full(t *testing.T) authority.CRL {
	t.Helper()
	c, err := f.store.CurrentCRL(t.Context(), f.key, 0)
	if err != nil || c.IsDelta() {
		t.Fatal(c.Base, err)
	}
	return c
}

func (f deltaFixture) delta(t *testing.T) authority.CRL {
	t.Helper()
	c, err := f.store.CurrentDelta(t.Context(), f.key, 0)
	if err != nil || !c.IsDelta() {
		t.Fatal(c.Base, err)
	}
	return c
}

func (f deltaFixture) perform(t *testing.T, name string, verb authority.Verb, of authority.Record) {
	t.Helper()
	if done, err := f.Perform(t.Context(), act(name, verb, of)); err != nil || done.Refusal != "" {
		t.Fatalf("%s: %q, %v", name, done.Refusal, err)
	}
}

// together is what a client knows that has a full list and a delta that applies to it.
func together(t *testing.T, full, delta authority.CRL) map[pki.Serial]int {
	t.Helper()
	if delta.Base > full.Number || delta.Number <= full.Number { // RFC 5280 §5.2.4
		t.Fatalf("delta %d of base %d does not apply to list %d", delta.Number, delta.Base, full.Number)
	}
	all := reasons(t, full)
	for serial, reason := range reasons(t, delta) {
		if all[serial] = reason; reason == int(pki.ReasonRemoveFromCRL) {
			delete(all, serial)
		}
	}
	return all
}

func TestDeltas(t *testing.T) {
	f := newDeltas(t, nil)
	out, err := f.Issue(t.Context(), f.key, []authority.Order{order(t, 1), order(t, 2), order(t, 3), order(t, 4), order(t, 5)})
	if err != nil {
		t.Fatal(err)
	}
	var of []authority.Record
	for _, o := range out {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		of = append(of, o.Record)
	}
	f.perform(t, "hold-0", authority.VerbHold, of[0])
	f.ensure(t, true)
	first := f.full(t)
	f.ensure(t, false) // no delta in the second of a list
	f.clock.forward(time.Second)
	f.ensure(t, true)
	if d := f.delta(t); d.Base != first.Number || d.Number <= first.Number || len(reasons(t, d)) != 0 ||
		d.NextUpdate.Sub(d.ThisUpdate) != 20*time.Minute || !d.ThisUpdate.After(first.ThisUpdate) {
		t.Errorf("first delta %d of %d from %s to %s has %v", d.Number, d.Base, d.ThisUpdate, d.NextUpdate, reasons(t, d))
	}
	f.ensure(t, false)

	f.perform(t, "release-0", authority.VerbRelease, of[0])
	f.perform(t, "revoke-1", authority.VerbRevoke, of[1])
	f.perform(t, "hold-2", authority.VerbHold, of[2])
	f.perform(t, "release-2", authority.VerbRelease, of[2])
	f.perform(t, "hold-3", authority.VerbHold, of[3])
	published, err := f.Publish(t.Context(), f.key, 0)
	if err != nil || published.Base != first.Number {
		t.Fatalf("published list %d of base %d, %v, want a delta of %d", published.Number, published.Base, err, first.Number)
	}
	changed := map[pki.Serial]int{of[0].Serial: 8, of[1].Serial: 1, of[2].Serial: 8, of[3].Serial: 6}
	if diff := cmp.Diff(changed, reasons(t, published)); diff != "" {
		t.Errorf("delta (-want +got):\n%s", diff)
	}
	now := map[pki.Serial]int{of[1].Serial: 1, of[3].Serial: 6}
	if diff := cmp.Diff(now, together(t, first, published)); diff != "" {
		t.Errorf("list and delta (-want +got):\n%s", diff)
	}

	f.clock.forward(time.Hour)
	f.ensure(t, true)
	second := f.full(t)
	if second.Number <= published.Number {
		t.Fatalf("list %d after delta %d: one sequence of numbers is wanted", second.Number, published.Number)
	}
	if diff := cmp.Diff(now, reasons(t, second)); diff != "" {
		t.Errorf("second list (-want +got):\n%s", diff)
	}
	f.perform(t, "revoke-4", authority.VerbRevoke, of[4])
	now[of[4].Serial] = 1
	f.clock.forward(2 * time.Second)
	f.ensure(t, true)
	delta := f.delta(t)
	for name, full := range map[string]authority.CRL{"first": first, "second": second} { // both are valid still
		if diff := cmp.Diff(now, together(t, full, delta)); diff != "" || !f.clock.now().Before(full.NextUpdate) {
			t.Errorf("%s list and delta (-want +got):\n%s", name, diff)
		}
	}

	f.clock.forward(time.Hour)
	f.ensure(t, true)
	f.clock.forward(2 * time.Second)
	f.ensure(t, true)
	if delta = f.delta(t); delta.Base != second.Number {
		t.Errorf("base is %d, want %d: the first list is no longer valid", delta.Base, second.Number)
	}
	if diff := cmp.Diff(map[pki.Serial]int{of[4].Serial: 1}, reasons(t, delta)); diff != "" {
		t.Errorf("delta of the second list (-want +got):\n%s", diff)
	}
}

// A revocation of what expires before a full list shows it stays on the deltas.
func TestDeltaKeepsWhatExpired(t *testing.T) {
	f := newDeltas(t, func(s *authority.Settings) { s.CRLInterval = 3 * time.Hour })
	f.ensure(t, true)
	brief := order(t, 1)
	brief.Profile.Validity = time.Hour
	out, err := f.Issue(t.Context(), f.key, []authority.Order{brief})
	if err != nil || out[0].Err != nil {
		t.Fatal(err, out[0].Err)
	}
	f.perform(t, "revoke", authority.VerbRevoke, out[0].Record)
	want := map[pki.Serial]int{out[0].Record.Serial: 1}
	for _, step := range []time.Duration{time.Minute, 30 * time.Minute, 40 * time.Minute, time.Hour} {
		f.clock.forward(step)
		f.ensure(t, true)
		if diff := cmp.Diff(want, reasons(t, f.delta(t))); diff != "" {
			t.Errorf("delta after %s (-want +got):\n%s", step, diff)
		}
	}
	f.clock.forward(time.Hour)
	f.ensure(t, true)
	if diff := cmp.Diff(want, reasons(t, f.full(t))); diff != "" {
		t.Errorf("the full list after the expiry (-want +got):\n%s", diff)
	}
}

func TestDeltaHasTheScopeOfItsList(t *testing.T) {
	f := newDeltas(t, func(s *authority.Settings) { s.BaseURL = "http://pki.example" })
	extensions := func(der []byte) map[string]string {
		t.Helper()
		list, err := smx509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, e := range list.Extensions {
			all[e.Id.String()] = string(e.Value)
		}
		return all
	}
	f.ensure(t, true)
	before := f.full(t)
	if all := extensions(before.DER); all[pki.OIDFreshestCRL] == "" || all[pki.OIDIssuingDistribution] != "" || all[pki.OIDDeltaCRLIndicator] != "" {
		t.Errorf("extensions of the full list: %v", slicesOf(all))
	}
	f.accept(t, func(s *authority.Settings) { s.Shards = 2 })
	f.clock.forward(11 * time.Minute)
	f.ensure(t, true) // a full list and not a delta: the other one has another scope
	full := f.full(t)
	if full.Number == before.Number {
		t.Fatal("no list was made for the new scope")
	}
	f.clock.forward(time.Second)
	f.ensure(t, true)
	delta := f.delta(t)
	a, b := extensions(full.DER), extensions(delta.DER)
	if delta.Base != full.Number || a[pki.OIDIssuingDistribution] == "" || a[pki.OIDIssuingDistribution] != b[pki.OIDIssuingDistribution] {
		t.Errorf("delta of %d, want %d; points %q and %q", delta.Base, full.Number, a[pki.OIDIssuingDistribution], b[pki.OIDIssuingDistribution])
	}
	if b[pki.OIDFreshestCRL] != "" || b[pki.OIDDeltaCRLIndicator] == "" {
		t.Errorf("extensions of the delta: %v", slicesOf(b))
	}
	out, err := f.Issue(t.Context(), f.key, []authority.Order{order(t, 1)})
	if err != nil || out[0].Err != nil {
		t.Fatal(err, out[0].Err)
	}
	cert, err := pki.ParseCertificate(out[0].Record.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range cert.Extensions {
		if e.Id.String() == pki.OIDFreshestCRL && !e.Critical {
			return
		}
	}
	t.Error("a certificate has no freshestCRL")
}

func slicesOf(m map[string]string) []string {
	var keys []string
	for k := range maps.Keys(m) {
		keys = append(keys, k)
	}
	return keys
}

// Of two processes that make the same list the slower one does not put back
// what it read before the other: it reads again.
func TestSlowerMakerReadsAgain(t *testing.T) {
	f := newFixture(t)
	other := authority.New(authority.Config{Store: f.store, Keys: f.keys})
	if err := other.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	record := f.issue(t, 1)
	reached, carryOn := make(chan struct{}, 8), make(chan struct{})
	var held atomic.Bool
	hold := func() {
		if held.CompareAndSwap(false, true) {
			reached <- struct{}{}
			<-carryOn
		}
	}
	f.signing.Store(&hold)
	type result struct {
		crl authority.CRL
		err error
	}
	slow := make(chan result, 1)
	go func() {
		c, err := f.Publish(context.Background(), f.key, 0)
		slow <- result{c, err}
	}()
	<-reached // the slow one has read its entries
	if _, err := other.Perform(t.Context(), act("revoke", authority.VerbRevoke, record)); err != nil {
		t.Fatal(err)
	}
	fast, err := other.Publish(t.Context(), f.key, 0)
	if err != nil {
		t.Fatal(err)
	}
	close(carryOn)
	r := <-slow
	if r.err != nil || r.crl.Number <= fast.Number {
		t.Fatalf("the slower list has number %d, %v, want one above %d", r.crl.Number, r.err, fast.Number)
	}
	current, err := f.store.CurrentCRL(t.Context(), f.key, 0)
	if err != nil || current.Number != r.crl.Number {
		t.Errorf("current is %d, %v, want %d", current.Number, err, r.crl.Number)
	}
	if _, listed := reasons(t, current)[record.Serial]; !listed {
		t.Error("the current list lacks an act that the one before showed")
	}
	if made, err := f.EnsureCRL(t.Context(), f.key, 0); err != nil || made {
		t.Errorf("ensure: made %t, %v, want nothing to be due", made, err)
	}
}
