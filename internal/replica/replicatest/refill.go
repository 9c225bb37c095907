package replicatest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
)

func testAnchors(t *testing.T, db Database) {
	s := db.Store
	first := replica.Push{Next: 3, Head: 9, Anchor: []byte("three"), Ledger: []byte("ledger"), Changes: []replica.Change{Good(3, Serial(1))}}
	apply(t, s, first)
	want := apply(t, s, replica.Push{After: 3, Next: 5, Head: 9, Anchor: []byte("five"), Ledger: []byte("ledger")})
	apply(t, s, first) // an old one
	if string(want.Anchor) != "five" || string(want.Ledger) != "ledger" {
		t.Errorf("anchors are %q and %q, want those of the last position", want.Anchor, want.Ledger)
	}
	got, err := db.Reopen(t).State(t.Context())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("state after reopening, %v (-want +got):\n%s", err, diff)
	}
}

func testAsOf(t *testing.T, s replica.Store) {
	for i, c := range []struct {
		next, head int64
		want       time.Duration // after Now
	}{{5, 9, -1}, {9, 9, 1}, {9, 9, 2}, {9, 12, 2}, {12, 12, 4}} {
		at := Now.Add(time.Duration(i) * time.Hour)
		state, err := s.Apply(t.Context(), replica.Push{After: 0, Next: c.next, Head: c.head}, at)
		want := time.Time{}
		if c.want >= 0 {
			want = Now.Add(c.want * time.Hour)
		}
		if err != nil || !state.AsOf.Equal(want) || !state.PushedAt.Equal(at) {
			t.Errorf("at %d of %d: as of %s, pushed at %s, %v, want %s and %s", c.next, c.head, state.AsOf, state.PushedAt, err, want, at)
		}
	}
}

// testRefill: serials 1 to 3 are held; the restored ledger knows 1, which it
// has revoked, 3 and 4.
func testRefill(t *testing.T, s replica.Store) {
	apply(t, s, replica.Push{Next: 3, Head: 3, Anchor: []byte("three"), Ledger: []byte("ledger"),
		Changes: []replica.Change{Good(1, Serial(1)), Good(2, Serial(2)), Revoked(3, Serial(3), pki.ReasonKeyCompromise)}})
	apply(t, s, replica.Push{After: 3, Next: 4, Head: 4, CRL: List(9, "old"), Anchor: []byte("four"), Ledger: []byte("ledger")})
	shard := List(9, "gone")
	shard.Shard = 1
	apply(t, s, replica.Push{After: 4, Next: 5, Head: 5, CRL: shard, Anchor: []byte("five"), Ledger: []byte("ledger")})

	if state := apply(t, s, replica.Push{After: 4, Next: 4, Head: 5, Refill: true}); state.Position != 5 || state.Refilling {
		t.Errorf("after a refill of another position: %+v, want it left out", state)
	}
	refill := replica.Push{After: 5, Next: 5, Head: 3, Refill: true}
	state, err := s.Apply(t.Context(), refill, Now.Add(time.Hour))
	if err != nil || state.Position != 0 || !state.Refilling || !state.Filled || len(state.Anchor)+len(state.Ledger) != 0 || !state.AsOf.Equal(Now) {
		t.Errorf("after the refill: %+v, %v, want position 0, refilling, as of before", state, err)
	}
	if _, err := s.Apply(t.Context(), refill, Now); !errors.Is(err, replica.ErrGap) {
		t.Errorf("the refill a second time: %v, want ErrGap", err)
	}
	wantStatus(t, s, Good(0, Serial(1)).Status) // served meanwhile
	state = apply(t, s, replica.Push{Next: 2, Head: 3, Changes: []replica.Change{Revoked(1, Serial(1), pki.ReasonKeyCompromise), Good(2, Serial(4))}})
	if !state.Refilling || !state.AsOf.Equal(Now) {
		t.Errorf("half-way: %+v, want refilling", state)
	}
	wantStatus(t, s, Revoked(0, Serial(1), pki.ReasonKeyCompromise).Status)
	wantStatus(t, s, Good(0, Serial(2)).Status)
	state = apply(t, s, replica.Push{After: 2, Next: 3, Head: 4, Changes: []replica.Change{Good(3, Serial(3))}})
	state, err = s.Apply(t.Context(), replica.Push{After: 3, Next: 4, Head: 4, CRL: List(2, "restored")}, Now.Add(2*time.Hour))
	if err != nil || state.Refilling || state.Serials != 3 || !state.AsOf.Equal(Now.Add(2*time.Hour)) {
		t.Errorf("at the head: %+v, %v, want no refilling and 3 serials", state, err)
	}
	wantStatus(t, s, Good(0, Serial(3)).Status)
	if _, err := s.Status(t.Context(), CA, Serial(2)); !errors.Is(err, replica.ErrNotFound) {
		t.Errorf("a serial that the restored ledger does not know: %v, want ErrNotFound", err)
	}
	if list, err := s.CRL(t.Context(), CA, 0); err != nil || string(list.DER) != "restored" {
		t.Errorf("list %q, %v, want that of the restored ledger, whose number is lower", list.DER, err)
	}
	if _, err := s.CRL(t.Context(), CA, 1); !errors.Is(err, replica.ErrNotFound) {
		t.Errorf("a list that the restored ledger does not know: %v, want ErrNotFound", err)
	}
}
