package authoritytest

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

func beginReserves(t *testing.T, d Database) {
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
		want := authority.Begun{Record: authority.Record{Issuer: issuer, Serial: b.Serial, Identity: ids[i], State: authority.StateReserved}}
		equal(t, "begun", b, want)
		equal(t, "status", status(t, d.Store, issuer, b.Serial), want.Record)
	}
	slices.Reverse(ids)
	again := begin(t, d.Store, append(ids, identity("another"))...)
	slices.Reverse(first)
	equal(t, "begun again, in the order of the call", again[:5], first)
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
		want := authority.Begun{Record: status(t, d.Store, issuer, first.Serial), Conflict: true}
		equal(t, "conflict while "+string(state), got[0], want)
		if got[0].State != state || got[1].Conflict {
			t.Errorf("state %s, conflict beside %v", got[0].State, got[1].Conflict)
		}
	}
	check(authority.StateReserved)
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, first.Serial)))
	check(authority.StateIntended)
	must(t, d.Store.RecordIssued(t.Context(), issuer, issueds(first.Serial)))
	check(authority.StateIssued)
	if n := d.Count(t, `SELECT COUNT(*) FROM serials`); n != 2 {
		t.Errorf("%d serials, want 2: a conflict reserves nothing", n)
	}
}

func beginOtherIssuer(t *testing.T, d Database) {
	id := identity("moved")
	first := begin(t, d.Store, id)[0]
	moved, err := d.Store.Begin(t.Context(), otherIssuer, 1, []authority.Identity{id})
	must(t, err)
	if moved[0].Serial == first.Serial || moved[0].Issuer != otherIssuer || moved[0].State != authority.StateReserved {
		t.Fatalf("begun under another issuer: %+v", moved[0])
	}
	err = d.Store.RecordIntent(t.Context(), issuer, intents(expiry, first.Serial))
	wantError(t, "intent for the reservation that gave way", err, authority.ErrState)
	must(t, d.Store.RecordIntent(t.Context(), otherIssuer, intents(expiry, moved[0].Serial)))
	back := begin(t, d.Store, id)[0]
	if back.Serial != moved[0].Serial || back.State != authority.StateIntended {
		t.Errorf("what is Intended under another issuer stays: %+v", back)
	}
}

func beginConcurrently(t *testing.T, d Database) {
	var wg sync.WaitGroup
	got := make([][]authority.Begun, 8)
	errs := make([]error, len(got))
	for i := range got {
		wg.Go(func() {
			got[i], errs[i] = d.Store.Begin(t.Context(), issuer, 1, []authority.Identity{identity("same")})
		})
	}
	wg.Wait()
	for i := range got {
		must(t, errs[i])
		equal(t, "begun at the same time", got[i], got[0])
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM serials`); n != 1 {
		t.Errorf("%d serials for one identity", n)
	}
}

// beginOverlapping locks the same names in opposite orders.
func beginOverlapping(t *testing.T, d Database) {
	ids := identities("overlap", 64)
	reversed := slices.Clone(ids)
	slices.Reverse(reversed)
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		slice := [][]authority.Identity{ids, reversed}[i%2]
		wg.Go(func() { _, errs[i] = d.Store.Begin(t.Context(), issuer, 1, slice) })
	}
	wg.Wait()
	for _, err := range errs {
		must(t, err)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM serials`); n != 64 {
		t.Errorf("%d serials for 64 identities", n)
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
