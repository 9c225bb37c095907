package authoritytest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

func revokedOrder(t *testing.T, d Database) {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	short := issue(t, d.Store, at, identities("short", 5)...)
	long := issue(t, d.Store, at.Add(time.Second), identities("long", 5)...)
	issue(t, d.Store, expiry, identity("good"))
	for _, serial := range slices.Concat(long, short) {
		perform(t, d.Store, act("of-"+string(serial), authority.VerbRevoke, serial))
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

// onList is what a list's reading shows of a record.
func onList(r authority.Record) authority.Record {
	return authority.Record{Issuer: r.Issuer, Shard: r.Shard, Serial: r.Serial, NotAfter: r.NotAfter, Revocation: r.Revocation}
}
