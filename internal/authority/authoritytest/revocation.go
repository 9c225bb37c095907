package authoritytest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

func revokeOnce(t *testing.T, d Database) {
	serial := issue(t, d.Store, expiry, identity("revoked"))[0]
	want := status(t, d.Store, issuer, serial)
	first := authority.Revocation{At: time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC), Reason: pki.ReasonKeyCompromise}
	want.Revocation = &first
	got, err := d.Store.Revoke(t.Context(), issuer, serial, first)
	must(t, err)
	equal(t, "revoked", got, want)
	got, err = d.Store.Revoke(t.Context(), issuer, serial, authority.Revocation{At: first.At.Add(time.Hour), Reason: pki.ReasonSuperseded})
	must(t, err)
	equal(t, "revoked again: the first revocation stays", got, want)
	equal(t, "status", status(t, d.Store, issuer, serial), want)
	if n := d.Count(t, `SELECT COUNT(*) FROM audit_leaves WHERE act = 'revoke'`); n != 1 {
		t.Errorf("%d audit leaves for one revocation", n)
	}
}

func revokeRefuses(t *testing.T, d Database) {
	ctx := t.Context()
	s := serialsOf(begin(t, d.Store, identities("refused", 2)...))
	must(t, d.Store.RecordIntent(ctx, issuer, intents(expiry, s[1])))
	issued := issue(t, d.Store, expiry, identity("issued"))[0]
	r := authority.Revocation{At: time.Now(), Reason: pki.ReasonUnspecified}
	for name, serial := range map[string]pki.Serial{"reserved": s[0], "intended": s[1], "unknown": "0102"} {
		_, err := d.Store.Revoke(ctx, issuer, serial, r)
		wantError(t, "revoke "+name, err, authority.ErrNotFound)
	}
	_, err := d.Store.Revoke(ctx, otherIssuer, issued, r)
	wantError(t, "revoke under another issuer", err, authority.ErrNotFound)
	for name, r := range map[string]authority.Revocation{
		"removeFromCRL": {At: time.Now(), Reason: 8},
		"reason 7":      {At: time.Now(), Reason: 7},
		"no time":       {Reason: pki.ReasonKeyCompromise},
	} {
		if _, err := d.Store.Revoke(ctx, issuer, issued, r); err == nil {
			t.Errorf("revocation taken with %s", name)
		}
	}
	if status(t, d.Store, issuer, issued).Revocation != nil {
		t.Error("refused, and revoked all the same")
	}
}

func revokedOrder(t *testing.T, d Database) {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	short := issue(t, d.Store, at, identities("short", 5)...)
	long := issue(t, d.Store, at.Add(time.Second), identities("long", 5)...)
	issue(t, d.Store, expiry, identity("good"))
	for _, serial := range slices.Concat(long, short) {
		_, err := d.Store.Revoke(t.Context(), issuer, serial, authority.Revocation{At: at, Reason: pki.ReasonSuperseded})
		must(t, err)
	}
	all := slices.Sorted(slices.Values(slices.Concat(short, long)))
	listed := func(notAfter time.Time) []pki.Serial {
		var serials []pki.Serial
		for _, r := range revoked(t, d.Store, 0, notAfter) {
			if r.Certificate != nil || r.TBS != nil {
				t.Errorf("serial %s comes with content", r.Serial)
			}
			serials = append(serials, r.Serial)
		}
		return serials
	}
	equal(t, "from the start", listed(time.Time{}), all)
	equal(t, "notAfter itself is not before", listed(at), all)
	equal(t, "later", listed(at.Add(time.Microsecond)), slices.Sorted(slices.Values(long)))
	equal(t, "last", listed(at.Add(time.Hour)), []pki.Serial(nil))
	equal(t, "another shard", revoked(t, d.Store, 1, time.Time{}), []authority.Record(nil))

	stop := errors.New("stop")
	calls := 0
	err := d.Store.Revoked(t.Context(), issuer, 0, at, func(authority.Record) error { calls++; return stop })
	wantError(t, "error of yield", err, stop)
	if calls != 1 {
		t.Errorf("yield was called %d times", calls)
	}
	err = d.Store.Revoked(t.Context(), issuer, 0, at, func(r authority.Record) error { // the store may be used meanwhile
		_, err := d.Store.Status(t.Context(), issuer, r.Serial)
		return errors.Join(err, d.Store.Accept(t.Context(), authority.Accepted{Name: "X/a/b", Spec: []byte(r.Serial)}))
	})
	must(t, err)
}

func findSerial(t *testing.T, d Database) {
	serial := issue(t, d.Store, expiry, identity("found"))[0]
	got, err := d.Store.FindSerial(t.Context(), serial)
	must(t, err)
	equal(t, "found", got, []authority.Record{status(t, d.Store, issuer, serial)})
	if got, err := d.Store.FindSerial(t.Context(), "0102"); err != nil || len(got) != 0 {
		t.Errorf("unknown serial: %v, %v", got, err)
	}
	_, err = d.Store.Status(t.Context(), otherIssuer, serial)
	wantError(t, "status under another issuer", err, authority.ErrNotFound)
	_, err = d.Store.Status(t.Context(), issuer, "0102")
	wantError(t, "status of an unknown serial", err, authority.ErrNotFound)
}
