package authoritytest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

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
