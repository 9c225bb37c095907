package authoritytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

func crlOf(number int64, der string) authority.CRL {
	this := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	return authority.CRL{Issuer: issuer, Number: number, ThisUpdate: this, NextUpdate: this.Add(time.Hour), DER: []byte(der)}
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

func crlCurrent(t *testing.T, d Database) {
	ctx := t.Context()
	_, err := d.Store.CurrentCRL(ctx, issuer, 0)
	wantError(t, "no list yet", err, authority.ErrNotFound)
	for _, step := range []struct {
		save, want int64
	}{{3, 3}, {5, 5}, {4, 5}, {1, 5}, {9, 9}} {
		must(t, d.Store.SaveCRL(ctx, crlOf(step.save, fmt.Sprint("list ", step.save))))
		got, err := d.Store.CurrentCRL(ctx, issuer, 0)
		must(t, err)
		equal(t, "current", got, crlOf(step.want, fmt.Sprint("list ", step.want)))
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM crls`); n != 2 {
		t.Errorf("%d lists kept, want 2", n)
	}
	must(t, d.Store.SaveCRL(ctx, crlOf(9, "list 9"))) // as after a failure that was persisted
	if err := d.Store.SaveCRL(ctx, crlOf(9, "another")); err == nil {
		t.Error("two lists under one number")
	}
	bad := crlOf(10, "list")
	bad.NextUpdate = bad.ThisUpdate
	if err := d.Store.SaveCRL(ctx, bad); err == nil {
		t.Error("list taken that is never valid")
	}
	_, err = d.Store.CurrentCRL(ctx, issuer, 1)
	wantError(t, "list of another shard", err, authority.ErrNotFound)
}

func keys(t *testing.T, d Database) {
	ctx := t.Context()
	k := authority.Key{Owner: "BusinessCA/tier/people", Generation: 1, Device: "tier/hsm", Label: "terrace/people/g1", PublicKey: []byte("spki 1")}
	_, err := d.Store.FindKey(ctx, k.Owner, k.Generation)
	wantError(t, "find unknown key", err, authority.ErrNotFound)
	must(t, d.Store.RecordKey(ctx, k))
	must(t, d.Store.RecordKey(ctx, k))
	other := k
	other.PublicKey = []byte("spki 2")
	wantError(t, "another key", d.Store.RecordKey(ctx, other), authority.ErrKeyMismatch)
	got, err := d.Store.FindKey(ctx, k.Owner, k.Generation)
	must(t, err)
	equal(t, "key", got, k)
	other.Generation = 2
	must(t, d.Store.RecordKey(ctx, other))
	other.Generation = 0
	if err := d.Store.RecordKey(ctx, other); err == nil {
		t.Error("generation 0 taken")
	}
}

func accepted(t *testing.T, d Database) {
	ctx := t.Context()
	for _, a := range []authority.Accepted{
		{Name: "BusinessCA/t/b", Spec: []byte(`{"v":1}`)}, {Name: "IndustryCA/t/x", Spec: []byte(`{}`)},
		{Name: "BusinessCA/t/B", Spec: []byte(`{}`)}, {Name: "BusinessCA/t/b", Spec: []byte(`{"v":2}`)},
		{Name: "BusinessCA/t/b", Spec: []byte(`{"v":2}`)}, {Name: "Business%", Spec: []byte(`{}`)},
	} {
		must(t, d.Store.Accept(ctx, a))
	}
	for prefix, want := range map[string][]authority.Accepted{
		"BusinessCA/": {{Name: "BusinessCA/t/B", Spec: []byte(`{}`)}, {Name: "BusinessCA/t/b", Spec: []byte(`{"v":2}`)}},
		"Business%":   {{Name: "Business%", Spec: []byte(`{}`)}},
		"IndustryCA/": {{Name: "IndustryCA/t/x", Spec: []byte(`{}`)}},
		"Nothing/":    nil,
	} {
		got, err := d.Store.AllAccepted(ctx, prefix)
		must(t, err)
		equal(t, "accepted under "+prefix, got, want)
	}
	if all, err := d.Store.AllAccepted(ctx, ""); err != nil || len(all) != 4 {
		t.Errorf("all: %d, %v", len(all), err)
	}
	if err := d.Store.Accept(ctx, authority.Accepted{Name: "X/a/b", Spec: make([]byte, 2<<20)}); err == nil {
		t.Error("spec of 2 MiB taken")
	}
}

func cancelled(t *testing.T, d Database) {
	s := serialsOf(begin(t, d.Store, identities("cancelled", 3)...))
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, s[1], s[2])))
	done := issue(t, d.Store, expiry, identity("done"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	leaves := d.Count(t, `SELECT COUNT(*) FROM audit_leaves`)
	calls := fencedWrites(s[0], s[1], s[2], done[0])
	calls["Revoked"] = func(ctx context.Context, st authority.Store) error {
		return st.Revoked(ctx, issuer, 0, time.Time{}, func(authority.Record) error { return nil })
	}
	calls["Changes"] = func(ctx context.Context, st authority.Store) error {
		_, _, err := st.Changes(ctx, 0, 1)
		return err
	}
	calls["Status"] = func(ctx context.Context, st authority.Store) error {
		_, err := st.Status(ctx, issuer, done[0])
		return err
	}
	for name, call := range calls {
		wantError(t, name, call(ctx, d.Store), context.Canceled)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM audit_leaves`); n != leaves {
		t.Errorf("cancelled calls left %d audit leaves", n-leaves)
	}
	for name, call := range calls { // and the store works on
		if err := call(t.Context(), d.Store); err != nil {
			t.Errorf("%s after a cancelled one: %v", name, err)
		}
	}
}

// auditLeaves counts: as many leaves as acts, none for a repetition or refusal.
func auditLeaves(t *testing.T, d Database) {
	ctx := t.Context()
	ids := identities("audit", 3)
	serials := issue(t, d.Store, expiry, ids...)
	begin(t, d.Store, ids...)
	lost := begin(t, d.Store, identity("lost"))[0].Serial
	must(t, d.Store.RecordIntent(ctx, issuer, intents(expiry, lost)))
	must(t, d.Store.Abandon(ctx, issuer, lost))
	wantError(t, "refused intent", d.Store.RecordIntent(ctx, issuer, intents(expiry, serials...)), authority.ErrElsewhere)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = d.Store.Perform(ctx, act("audited", authority.VerbRevoke, serials[0]))
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	perform(t, d.Store, act("hold", authority.VerbHold, serials[1]))
	perform(t, d.Store, act("release", authority.VerbRelease, serials[1]))
	perform(t, d.Store, act("refused", authority.VerbRelease, serials[1]))
	_, err := d.Store.ReserveCRLNumber(ctx, issuer, 0, time.Now())
	must(t, err)
	for range 2 {
		must(t, d.Store.SaveCRL(ctx, crlOf(3, "list")))
		must(t, d.Store.RecordKey(ctx, authority.Key{Owner: "o", Generation: 1, Device: "<d&>", Label: "l", PublicKey: []byte("p")}))
		must(t, d.Store.Accept(ctx, authority.Accepted{Name: "X/a/b", Spec: []byte("{}")}))
	}
	left := begin(t, d.Store, identity("left"))[0].Serial
	must(t, d.Store.RecordIntent(ctx, issuer, intents(expiry, left)))
	d.Reopen(t)
	got := map[string]int64{}
	for _, act := range []string{"takeover", "intent", "issue", "abandon", "revoke", "hold", "release", "act-refused", "crl-number", "crl", "key", "accept"} {
		got[act] = d.Count(t, `SELECT COUNT(*) FROM audit_leaves WHERE act = '`+act+`'`)
	}
	equal(t, "leaves", got, map[string]int64{"takeover": 2, "intent": 3, "issue": 1, "abandon": 2,
		"revoke": 1, "hold": 1, "release": 1, "act-refused": 1, "crl-number": 1, "crl": 1, "key": 1, "accept": 1})
	if n := d.Count(t, `SELECT COUNT(*) FROM audit_leaves WHERE act = 'key' AND detail LIKE '{"device":"<d&>","label":"l","publicKey":"%'`); n != 1 {
		t.Error("the detail is not canonical JSON: keys in order, no spaces, nothing escaped for HTML")
	}
}
