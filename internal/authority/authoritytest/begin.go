package authoritytest

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

func beginDraws(t *testing.T, d Database) {
	ids := identities("new", 5)
	first := begin(t, d.Store, ids...)
	seen := map[pki.Serial]bool{}
	for i, b := range first {
		if n := b.Serial.Int(); n.Sign() <= 0 || n.BitLen() < 129 || n.BitLen() > 159 {
			t.Errorf("serial %s has %d bits", b.Serial, n.BitLen())
		}
		if seen[b.Serial] {
			t.Errorf("serial %s twice", b.Serial)
		}
		seen[b.Serial] = true
		equal(t, "begun", b, authority.Begun{Record: authority.Record{Issuer: issuer, Serial: b.Serial, Identity: ids[i], State: authority.StateDrawn}, Attempt: 1})
		_, err := d.Store.Status(t.Context(), issuer, b.Serial)
		wantError(t, "status of what is drawn", err, authority.ErrNotFound)
	}
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, serialsOf(first)...)))
	slices.Reverse(ids)
	again := begin(t, d.Store, append(ids, identity("another"))...)
	slices.Reverse(first)
	for i, b := range again[:5] {
		equal(t, "begun again, in the order of the call", b, authority.Begun{Record: status(t, d.Store, issuer, first[i].Serial), Attempt: 1})
	}
	if again[5].State != authority.StateDrawn {
		t.Errorf("a new one beside them is %s", again[5].State)
	}
	if r, err := d.Store.Find(t.Context(), "CertificateRequest", "people", "new-000"); err != nil || r.Serial != again[4].Serial {
		t.Errorf("find: %v, %v", r.Serial, err)
	}
	_, err := d.Store.Find(t.Context(), "CertificateRequest", "people", "never")
	wantError(t, "find unknown", err, authority.ErrNotFound)
}

func beginConflict(t *testing.T, d Database) {
	id := identity("conflict")
	other := id
	other.Digest[0]++
	first := begin(t, d.Store, id)[0]
	check := func(state authority.State) {
		t.Helper()
		got := begin(t, d.Store, other, identity("beside"))
		want := authority.Begun{Record: status(t, d.Store, issuer, first.Serial), Conflict: true, Attempt: 1}
		equal(t, "conflict while "+string(state), got[0], want)
		if got[0].State != state || got[1].Conflict {
			t.Errorf("state %s, conflict beside %v", got[0].State, got[1].Conflict)
		}
	}
	// Both were drawn: the first that is intended has the name.
	late := begin(t, d.Store, other)[0]
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, first.Serial)))
	wantError(t, "intent of the other", d.Store.RecordIntent(t.Context(), issuer, intents(expiry, late.Serial)), authority.ErrElsewhere)
	check(authority.StateIntended)
	must(t, d.Store.RecordIssued(t.Context(), issuer, issueds(first.Serial)))
	check(authority.StateIssued)
	if n := d.Count(t, `SELECT COUNT(*) FROM serials`); n != 1 {
		t.Errorf("%d serials, want 1: a conflict records nothing", n)
	}
}

func beginOtherIssuer(t *testing.T, d Database) {
	id := identity("moved")
	first := begin(t, d.Store, id)[0]
	moved, err := d.Store.Begin(t.Context(), otherIssuer, 1, []authority.Identity{id})
	must(t, err)
	keepDrawn(moved)
	if moved[0].Serial == first.Serial || moved[0].Issuer != otherIssuer || moved[0].State != authority.StateDrawn {
		t.Fatalf("begun under another issuer: %+v", moved[0])
	}
	must(t, d.Store.RecordIntent(t.Context(), otherIssuer, intents(expiry, moved[0].Serial)))
	err = d.Store.RecordIntent(t.Context(), issuer, intents(expiry, first.Serial))
	wantError(t, "intent under the first issuer", err, authority.ErrElsewhere)
	back := begin(t, d.Store, id)[0]
	if back.Serial != moved[0].Serial || back.State != authority.StateIntended {
		t.Errorf("what is Intended under another issuer stays: %+v", back)
	}
}

// intentConcurrently: of many that drew a serial for one identity, one may sign.
func intentConcurrently(t *testing.T, d Database) {
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		serial := begin(t, d.Store, identity("same"))[0].Serial
		wg.Go(func() { errs[i] = d.Store.RecordIntent(t.Context(), issuer, intents(expiry, serial)) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
			continue
		}
		wantError(t, "intent of a slower one", err, authority.ErrElsewhere)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM serials`); n != 1 || done != 1 {
		t.Errorf("%d serials, %d intents for one identity", n, done)
	}
}

// intentOverlapping names the same in opposite orders.
func intentOverlapping(t *testing.T, d Database) {
	ids := identities("overlap", 64)
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		serials := serialsOf(begin(t, d.Store, ids...))
		if i%2 == 1 {
			slices.Reverse(serials)
		}
		wg.Go(func() { errs[i] = d.Store.RecordIntent(t.Context(), issuer, intents(expiry, serials...)) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
			continue
		}
		wantError(t, "intent of a slower slice", err, authority.ErrElsewhere)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM serials`); n != 64 || done != 1 {
		t.Errorf("%d serials for 64 identities, %d slices recorded", n, done)
	}
}

// bulkAsSingle: a slice leaves what its members leave one by one.
func bulkAsSingle(t *testing.T, d Database) {
	bulk := issue(t, d.Store, expiry, identities("bulk", 7)...)
	var single []pki.Serial
	for _, id := range identities("single", 7) {
		single = append(single, issue(t, d.Store, expiry, id)...)
	}
	seen := func(serials []pki.Serial) (all []authority.Record) {
		for _, serial := range serials {
			r := status(t, d.Store, issuer, serial)
			if !bytes.Equal(r.Certificate, cert(serial)) {
				t.Errorf("serial %s has certificate %x", serial, r.Certificate)
			}
			_, r.Identity.Name, _ = strings.Cut(r.Identity.Name, "-")
			r.Identity.Digest, r.Serial, r.Certificate, r.IssuedAt = [32]byte{}, "", nil, time.Time{}
			all = append(all, r)
		}
		return all
	}
	equal(t, "records in bulk and one by one", seen(bulk), seen(single))
	changes, next := changes(t, d.Store, 0, 100)
	if len(changes) != 14 || next != 14 {
		t.Errorf("%d changes up to %d, want 14", len(changes), next)
	}
	if n, err := d.Store.Count(t.Context(), issuer); err != nil || n != 14 {
		t.Errorf("count %d, %v", n, err)
	}
}

func beginShards(t *testing.T, d Database) {
	const shards = 4
	counts := [shards]int{}
	begun, err := d.Store.Begin(t.Context(), issuer, shards, identities("shard", authority.MaxSlice))
	must(t, err)
	for _, b := range begun {
		if b.Shard < 0 || b.Shard >= shards {
			t.Fatalf("shard %d", b.Shard)
		}
		counts[b.Shard]++
	}
	for shard, n := range counts { // 64 expected; 20 is more than six standard deviations away
		if n < 20 {
			t.Errorf("%d of 256 in shard %d", n, shard)
		}
	}
}

func beginRefuses(t *testing.T, d Database) {
	long := func(n int) string { return strings.Repeat("x", n) }
	changed := func(change func(*authority.Identity)) []authority.Identity {
		id := identity("refused")
		change(&id)
		return []authority.Identity{id}
	}
	tests := map[string]struct {
		issuer authority.IssuerKey
		shards int32
		ids    []authority.Identity
		want   string
	}{
		"generation":       {authority.IssuerKey{Authority: "BusinessCA/a/b"}, 1, identities("a", 1), "generation"},
		"authority":        {authority.IssuerKey{Generation: 1}, 1, identities("a", 1), "authority"},
		"no shards":        {issuer, 0, identities("a", 1), "shards"},
		"twice in a slice": {issuer, 1, append(identities("a", 1), identities("a", 1)...), "twice"},
		"kind":             {issuer, 1, changed(func(id *authority.Identity) { id.Kind = long(64) }), "kind"},
		"namespace":        {issuer, 1, changed(func(id *authority.Identity) { id.Namespace = long(64) }), "namespace"},
		"name":             {issuer, 1, changed(func(id *authority.Identity) { id.Name = long(254) }), "name"},
		"no name":          {issuer, 1, changed(func(id *authority.Identity) { id.Name = "" }), "name"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := d.Store.Begin(t.Context(), tc.issuer, tc.shards, tc.ids)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one about %q", err, tc.want)
			}
		})
	}
	begin(t, d.Store, changed(func(id *authority.Identity) {
		id.Kind, id.Namespace, id.Name = long(63), "", long(253)
	})...)
}
