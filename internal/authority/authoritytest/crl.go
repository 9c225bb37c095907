package authoritytest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

func crlOf(number int64, der string) authority.CRL {
	this := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	return authority.CRL{Issuer: issuer, Number: number, ThisUpdate: this, NextUpdate: this.Add(time.Hour), DER: []byte(der)}
}

// deltaOf is the delta of a full list, made when that was the newest.
func deltaOf(number, base int64, der string) authority.CRL {
	c := crlOf(number, der)
	c.Base, c.After, c.Seen, c.DistributionPoint = base, base, 3, "http://pki.example/crl"
	return c
}

// kept is a list as the store returns it.
func kept(c authority.CRL) *authority.CRL {
	c.After = 0
	return &c
}

func crlNumbers(t *testing.T, d Database) {
	now := time.Unix(0, 1_700_000_000_123_456_789)
	n := now.UnixNano()
	for i, tc := range []struct {
		now  time.Time
		want int64
	}{
		{now, n}, {now, n + 1}, {now.Add(-time.Hour), n + 2}, {now.Add(2), n + 3},
		{now.Add(time.Second), n + 1e9}, {time.Unix(0, 0), n + 1e9 + 1},
	} {
		got, err := d.Store.ReserveCRLNumber(t.Context(), issuer, 0, tc.now)
		if err != nil || got != tc.want {
			t.Errorf("number %d at %s: %d, %v, want %d", i, tc.now.UTC(), got, err, tc.want)
		}
	}
	if got, err := d.Store.ReserveCRLNumber(t.Context(), issuer, 1, time.Unix(0, 5)); err != nil || got != 5 {
		t.Errorf("another shard: %d, %v", got, err)
	}
	if got, err := d.Store.ReserveCRLNumber(t.Context(), otherIssuer, 0, time.Unix(0, -5)); err != nil || got != 1 {
		t.Errorf("another issuer, at a time before 1970: %d, %v", got, err)
	}
	if got, err := d.Reopen(t).ReserveCRLNumber(t.Context(), issuer, 1, time.Unix(0, 5)); err != nil || got != 6 {
		t.Errorf("after a takeover: %d, %v", got, err)
	}
}

// crlCurrent: a list takes effect only after the one that its maker saw.
func crlCurrent(t *testing.T, d Database) {
	ctx := t.Context()
	_, err := d.Store.CurrentCRL(ctx, issuer, 0)
	wantError(t, "no list yet", err, authority.ErrNotFound)
	for _, step := range []struct {
		save, after, want int64
		stale             bool
	}{
		{save: 3, want: 3}, {save: 5, after: 3, want: 5},
		{save: 4, after: 5, want: 5, stale: true}, // a smaller number
		{save: 5, after: 5, want: 5, stale: true}, // an equal one, with another list
		{save: 8, after: 3, want: 5, stale: true}, // made without having seen list 5
		{save: 8, after: 9, want: 5, stale: true}, // made after a list that is gone
		{save: 9, after: 5, want: 9}, {save: 1, after: 9, want: 9, stale: true}, {save: 11, after: 9, want: 11},
	} {
		c := crlOf(step.save, fmt.Sprint("list ", step.save))
		if step.stale {
			c.DER = []byte("a stale list")
		}
		c.After = step.after
		if err := d.Store.SaveCRL(ctx, c); errors.Is(err, authority.ErrStaleCRL) != step.stale || err != nil && !step.stale {
			t.Errorf("list %d after %d: %v, want stale %t", step.save, step.after, err, step.stale)
		}
		got, err := d.Store.CurrentCRL(ctx, issuer, 0)
		must(t, err)
		equal(t, "current", got, crlOf(step.want, fmt.Sprint("list ", step.want)))
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM crls`); n != 2 {
		t.Errorf("%d lists kept, want 2", n)
	}
	again := crlOf(11, "list 11")
	again.After = 9
	must(t, d.Store.SaveCRL(ctx, again)) // as after a failure that was persisted
	for name, change := range map[string]func(*authority.CRL){
		"never valid":     func(c *authority.CRL) { c.NextUpdate = c.ThisUpdate },
		"base not below":  func(c *authority.CRL) { c.Base = c.Number },
		"base negative":   func(c *authority.CRL) { c.Base = -1 },
		"seen negative":   func(c *authority.CRL) { c.Seen = -1 },
		"number zero":     func(c *authority.CRL) { c.Number = 0 },
		"another's shard": func(c *authority.CRL) { c.Shard = -1 },
	} {
		bad := crlOf(20, "list")
		bad.After = 11
		change(&bad)
		if err := d.Store.SaveCRL(ctx, bad); err == nil || errors.Is(err, authority.ErrStaleCRL) {
			t.Errorf("list that is %s: %v", name, err)
		}
	}
	_, err = d.Store.CurrentCRL(ctx, issuer, 1)
	wantError(t, "list of another shard", err, authority.ErrNotFound)
}

// crlDeltas: full lists and deltas share their numbers, and each kind is kept.
func crlDeltas(t *testing.T, d Database) {
	ctx := t.Context()
	_, err := d.Store.CurrentDelta(ctx, issuer, 0)
	wantError(t, "no delta yet", err, authority.ErrNotFound)
	lists := []authority.CRL{crlOf(2, "full 2"), deltaOf(3, 2, "delta 3"), deltaOf(4, 2, "delta 4"), crlOf(5, "full 5"), deltaOf(6, 2, "delta 6"), crlOf(7, "full 7")}
	for i := range lists {
		lists[i].After = 0
		if i > 0 {
			lists[i].After = lists[i-1].Number
		}
		must(t, d.Store.SaveCRL(ctx, lists[i]))
	}
	heads, err := d.Store.CRLHeads(ctx, issuer, 0)
	must(t, err)
	var want []authority.CRL
	for _, i := range []int{5, 4, 3, 2} {
		head := *kept(lists[i])
		head.DER = nil
		want = append(want, head)
	}
	equal(t, "heads", heads, want)
	full, err := d.Store.CurrentCRL(ctx, issuer, 0)
	must(t, err)
	equal(t, "full", full, *kept(lists[5]))
	delta, err := d.Store.CurrentDelta(ctx, issuer, 0)
	must(t, err)
	equal(t, "delta", delta, *kept(lists[4]))
	stale := deltaOf(8, 2, "delta 8")
	stale.After = 6 // list 7 came meanwhile
	wantError(t, "a delta made before the list", d.Store.SaveCRL(ctx, stale), authority.ErrStaleCRL)
	if heads, err := d.Store.CRLHeads(ctx, issuer, 1); err != nil || len(heads) != 0 {
		t.Errorf("another shard: %v, %v", heads, err)
	}
}

// crlConcurrently: of makers that saw the same list one is taken, whatever their numbers.
func crlConcurrently(t *testing.T, d Database) {
	const makers, rounds = 4, 8
	newest := int64(0)
	for range rounds {
		var wg sync.WaitGroup
		errs := make([]error, makers)
		for i := range errs {
			wg.Go(func() {
				number, err := d.Store.ReserveCRLNumber(t.Context(), issuer, 0, time.Unix(0, 1))
				if err == nil {
					c := crlOf(number, fmt.Sprint("list ", number))
					c.After = newest
					err = d.Store.SaveCRL(t.Context(), c)
				}
				errs[i] = err
			})
		}
		wg.Wait()
		taken := 0
		for _, err := range errs {
			if err == nil {
				taken++
			} else {
				wantError(t, "a slower maker", err, authority.ErrStaleCRL)
			}
		}
		current, err := d.Store.CurrentCRL(t.Context(), issuer, 0)
		must(t, err)
		if taken != 1 || current.Number <= newest {
			t.Errorf("%d makers were taken, the newest is %d after %d, want one and a higher number", taken, current.Number, newest)
		}
		newest = current.Number
	}
}

// revocationChanges: what changed after a number, in its state of now.
func revocationChanges(t *testing.T, d Database) {
	serials := issue(t, d.Store, expiry, identities("changed", 5)...)
	perform(t, d.Store, act("before", authority.VerbRevoke, serials[0]))
	perform(t, d.Store, act("hold-before", authority.VerbHold, serials[1]))
	before := head(t, d.Store)
	if got := changesAfter(t, d.Store, issuer, before); len(got) != 0 {
		t.Errorf("nothing changed, got %v", got)
	}
	perform(t, d.Store, act("release", authority.VerbRelease, serials[1]))
	perform(t, d.Store, act("hold", authority.VerbHold, serials[2]))
	perform(t, d.Store, act("hold-after", authority.VerbHold, serials[3]))
	perform(t, d.Store, act("release-after", authority.VerbRelease, serials[3]))
	perform(t, d.Store, act("refused", authority.VerbRelease, serials[0]))
	issue(t, d.Store, expiry, identity("good"))
	lost := begin(t, d.Store, identity("lost"))[0].Serial
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, lost)))
	must(t, d.Store.Abandon(t.Context(), issuer, lost))
	want := map[pki.Serial]pki.Reason{serials[1]: pki.ReasonRemoveFromCRL, serials[2]: pki.ReasonCertificateHold,
		serials[3]: pki.ReasonRemoveFromCRL, lost: pki.ReasonCessationOfOperation}
	equal(t, "after a number", changesAfter(t, d.Store, issuer, before), want)
	equal(t, "another issuer", changesAfter(t, d.Store, otherIssuer, 0), map[pki.Serial]pki.Reason{})
	equal(t, "after the head", changesAfter(t, d.Store, issuer, head(t, d.Store)), map[pki.Serial]pki.Reason{})
	want[serials[0]] = act("before", authority.VerbRevoke, serials[0]).Reason
	equal(t, "of all time", changesAfter(t, d.Store, issuer, 0), want)
	stop := errors.New("stop")
	wantError(t, "error of yield", d.Store.RevocationChanges(t.Context(), issuer, 0, 0, func(authority.Record) error { return stop }), stop)
}

func changesAfter(t *testing.T, s authority.Store, k authority.IssuerKey, after int64) map[pki.Serial]pki.Reason {
	t.Helper()
	got := map[pki.Serial]pki.Reason{}
	must(t, s.RevocationChanges(t.Context(), k, 0, after, func(r authority.Record) error {
		if _, twice := got[r.Serial]; twice || r.Revocation.At.IsZero() || !r.NotAfter.Equal(expiry) || r.Issuer != k {
			t.Errorf("change %+v (again: %t)", r, twice)
		}
		got[r.Serial] = r.Revocation.Reason
		return nil
	}))
	return got
}
