// Package replicatest has the conformance test of replica stores and a store
// that fails on demand. Tests alone import it.
package replicatest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
)

// Database is one store's file.
type Database struct {
	Store replica.Store
	// Reopen closes the store and opens the same file again.
	Reopen func(t *testing.T) replica.Store
}

// CA is the issuer of the statuses that this package makes.
var CA = authority.IssuerKey{Authority: "BusinessCA/ns/province", Generation: 1}

// Now is the time at which the tests begin, in whole microseconds.
var Now = time.Date(2026, 3, 1, 8, 0, 0, 123000, time.UTC)

// Serial is a serial of 20 octets.
func Serial(n int64) pki.Serial { return pki.Serial(fmt.Sprintf("01%038X", n)) }

// Good is the change of a serial that was issued.
func Good(seq int64, serial pki.Serial) replica.Change {
	return replica.Change{Seq: seq, Status: replica.Status{Issuer: CA, Serial: serial, NotAfter: Now.AddDate(1, 0, 0).Truncate(time.Second)}}
}

// Revoked is the change of one that was revoked at Now.
func Revoked(seq int64, serial pki.Serial, reason pki.Reason) replica.Change {
	c := Good(seq, serial)
	c.Revocation = &authority.Revocation{At: Now, Reason: reason}
	return c
}

// List is a CRL of CA.
func List(number int64, content string) *authority.CRL {
	this := Now.Truncate(time.Second)
	return &authority.CRL{Issuer: CA, Number: number, ThisUpdate: this, NextUpdate: this.Add(time.Hour), DER: []byte(content)}
}

// Store checks that a store keeps the contract of replica.Store.
func Store(t *testing.T, open func(t *testing.T) Database) {
	t.Run("new", func(t *testing.T) { testNew(t, open(t).Store) })
	t.Run("keeps across reopening", func(t *testing.T) { testKeeps(t, open(t)) })
	t.Run("goes forward only", func(t *testing.T) { testForward(t, open(t).Store) })
	t.Run("refuses a gap", func(t *testing.T) { testGap(t, open(t).Store) })
	t.Run("lists", func(t *testing.T) { testLists(t, open(t).Store) })
	t.Run("filled once", func(t *testing.T) { testFilled(t, open(t).Store) })
	t.Run("anchors", func(t *testing.T) { testAnchors(t, open(t)) })
	t.Run("as of", func(t *testing.T) { testAsOf(t, open(t).Store) })
	t.Run("refill", func(t *testing.T) { testRefill(t, open(t).Store) })
	t.Run("audit", func(t *testing.T) { testAudit(t, open(t)) })
	t.Run("configuration", func(t *testing.T) { testConfig(t, open(t).Store) })
}

func apply(t *testing.T, s replica.Store, p replica.Push) replica.State {
	t.Helper()
	state, err := s.Apply(t.Context(), p, Now)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func wantStatus(t *testing.T, s replica.Store, want replica.Status) {
	t.Helper()
	got, err := s.Status(t.Context(), want.Issuer, want.Serial)
	if err != nil {
		t.Error(err)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func testNew(t *testing.T, s replica.Store) {
	state, err := s.State(t.Context())
	if diff := cmp.Diff(replica.State{}, state); err != nil || diff != "" {
		t.Errorf("state, %v (-want +got):\n%s", err, diff)
	}
	if c, err := s.Config(t.Context()); err != nil || c.Revision != 0 || len(c.Services) != 0 {
		t.Errorf("configuration %+v, %v, want none", c, err)
	}
	if _, err := s.Status(t.Context(), CA, Serial(1)); !errors.Is(err, replica.ErrNotFound) {
		t.Errorf("status: %v, want ErrNotFound", err)
	}
	if _, err := s.CRL(t.Context(), CA, 0); !errors.Is(err, replica.ErrNotFound) {
		t.Errorf("CRL: %v, want ErrNotFound", err)
	}
}

func testKeeps(t *testing.T, db Database) {
	second := Good(2, Serial(1))
	second.Issuer.Generation = 2 // the same number under another key
	p := replica.Push{Next: 7, Head: 9, Config: &replica.Config{Revision: 3, Digest: []byte{1}, Services: []replica.Service{{ID: "ns/v", BaseURL: "http://v.example", ResponseValidity: time.Hour}}},
		Changes: []replica.Change{Revoked(1, Serial(1), pki.ReasonKeyCompromise), second, Revoked(4, "05", pki.ReasonCertificateHold)}}
	want := replica.State{Position: 7, Head: 9, Revision: 3, Digest: []byte{1}, Serials: 3, PushedAt: Now}
	if diff := cmp.Diff(want, apply(t, db.Store, p)); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	apply(t, db.Store, replica.Push{After: 7, Next: 7, Head: 9, CRL: List(5, "list")})
	s := db.Reopen(t)
	state, err := s.State(t.Context())
	if diff := cmp.Diff(want, state); err != nil || diff != "" {
		t.Errorf("state, %v (-want +got):\n%s", err, diff)
	}
	c, err := s.Config(t.Context())
	if diff := cmp.Diff(*p.Config, c); err != nil || diff != "" {
		t.Errorf("configuration, %v (-want +got):\n%s", err, diff)
	}
	for _, change := range p.Changes {
		wantStatus(t, s, change.Status)
	}
	list, err := s.CRL(t.Context(), CA, 0)
	if diff := cmp.Diff(*List(5, "list"), list); err != nil || diff != "" {
		t.Errorf("CRL, %v (-want +got):\n%s", err, diff)
	}
}

func testForward(t *testing.T, s replica.Store) {
	issue := replica.Push{Next: 10, Changes: []replica.Change{Good(10, Serial(1))}}
	hold := replica.Push{After: 10, Next: 11, Changes: []replica.Change{Revoked(11, Serial(1), pki.ReasonCertificateHold)}}
	release := replica.Push{After: 11, Next: 12, Changes: []replica.Change{Good(12, Serial(1))}}
	revoke := replica.Push{After: 12, Next: 13, Changes: []replica.Change{Revoked(13, Serial(1), pki.ReasonKeyCompromise)}}
	for i, p := range []replica.Push{issue, hold, release, revoke} {
		for range 2 { // each a second time, as after an answer that was lost
			if state := apply(t, s, p); state.Position != p.Next || state.Serials != 1 {
				t.Errorf("push %d: position %d with %d serials, want %d and 1", i, state.Position, state.Serials, p.Next)
			}
		}
		wantStatus(t, s, p.Changes[0].Status)
	}
	for i, p := range []replica.Push{issue, hold, release} {
		if state := apply(t, s, p); state.Position != 13 {
			t.Errorf("old push %d: position %d, want 13", i, state.Position)
		}
		wantStatus(t, s, revoke.Changes[0].Status)
	}
	// One that overlaps gives what is new in it alone.
	state := apply(t, s, replica.Push{After: 9, Next: 14, Changes: []replica.Change{Good(10, Serial(1)), Good(14, Serial(2))}})
	if state.Position != 14 || state.Serials != 2 {
		t.Errorf("after an overlapping push: %+v, want position 14 and 2 serials", state)
	}
	wantStatus(t, s, revoke.Changes[0].Status)
	wantStatus(t, s, Good(14, Serial(2)).Status)
}

func testGap(t *testing.T, s replica.Store) {
	apply(t, s, replica.Push{Next: 3, Changes: []replica.Change{Good(3, Serial(1))}})
	p := replica.Push{After: 4, Next: 5, Changes: []replica.Change{Good(5, Serial(2))}, Config: &replica.Config{Revision: 1, Digest: []byte{1}}}
	state, err := s.Apply(t.Context(), p, Now.Add(time.Hour))
	if !errors.Is(err, replica.ErrGap) || state.Position != 3 || state.Revision != 0 || !state.PushedAt.Equal(Now) {
		t.Errorf("got %+v, %v, want ErrGap and the state as it was", state, err)
	}
	if _, err := s.Status(t.Context(), CA, Serial(2)); !errors.Is(err, replica.ErrNotFound) {
		t.Errorf("status: %v, want ErrNotFound", err)
	}
}

func testFilled(t *testing.T, s replica.Store) {
	for i, c := range []struct {
		next, head int64
		want       bool
	}{{5, 9, false}, {8, 9, false}, {9, 9, true}, {9, 30, true}} {
		apply(t, s, replica.Push{After: min(c.next, int64(i)), Next: c.next, Head: c.head})
		if state, err := s.State(t.Context()); err != nil || state.Filled != c.want {
			t.Errorf("at %d of %d: filled is %t, %v, want %t", c.next, c.head, state.Filled, err, c.want)
		}
	}
}

func testLists(t *testing.T, s replica.Store) {
	for i, c := range []struct {
		number  int64
		content string
		want    string
	}{{5, "five", "five"}, {9, "nine", "nine"}, {7, "seven", "nine"}, {9, "other", "nine"}, {10, "ten", "ten"}} {
		apply(t, s, replica.Push{After: int64(i), Next: int64(i + 1), CRL: List(c.number, c.content)})
		got, err := s.CRL(t.Context(), CA, 0)
		if err != nil || string(got.DER) != c.want {
			t.Errorf("after number %d: list %q, %v, want %q", c.number, got.DER, err, c.want)
		}
	}
	if _, err := s.CRL(t.Context(), CA, 1); !errors.Is(err, replica.ErrNotFound) {
		t.Errorf("another shard: %v, want ErrNotFound", err)
	}
	for i, c := range []struct {
		number, base int64
		want         string
	}{{12, 10, "delta 12"}, {14, 10, "delta 14"}, {13, 10, "delta 14"}, {14, 9, "delta 14"}} {
		delta := List(c.number, fmt.Sprint("delta ", c.number))
		delta.Base = c.base
		apply(t, s, replica.Push{After: int64(5 + i), Next: int64(6 + i), CRL: delta})
		got, err := s.Delta(t.Context(), CA, 0)
		if err != nil || string(got.DER) != c.want || got.Base != 10 {
			t.Errorf("after delta %d: %q of base %d, %v, want %q", c.number, got.DER, got.Base, err, c.want)
		}
	}
	if got, err := s.CRL(t.Context(), CA, 0); err != nil || string(got.DER) != "ten" || got.Base != 0 {
		t.Errorf("after deltas: list %q of base %d, %v, want that of before", got.DER, got.Base, err)
	}
	if _, err := s.Delta(t.Context(), CA, 1); !errors.Is(err, replica.ErrNotFound) {
		t.Errorf("delta of another shard: %v, want ErrNotFound", err)
	}
	long := bytes.Repeat([]byte{0x30}, 4<<20) // of about 100,000 entries
	list := List(11, "")
	list.DER, list.Shard = long, 63
	apply(t, s, replica.Push{After: 9, Next: 10, CRL: list})
	if got, err := s.CRL(t.Context(), CA, 63); err != nil || !bytes.Equal(got.DER, long) {
		t.Errorf("long list: %d bytes, %v, want %d", len(got.DER), err, len(long))
	}
}

func testConfig(t *testing.T, s replica.Store) {
	for _, c := range []struct{ revision, want int64 }{{5, 5}, {4, 5}, {5, 5}, {6, 6}} {
		digest := []byte{byte(c.revision)}
		state := apply(t, s, replica.Push{Config: &replica.Config{Revision: c.revision, Digest: digest, Services: []replica.Service{{ID: fmt.Sprint(c.revision)}}}})
		got, err := s.Config(t.Context())
		if err != nil || state.Revision != c.want || got.Revision != c.want || !bytes.Equal(state.Digest, []byte{byte(c.want)}) || got.Services[0].ID != fmt.Sprint(c.want) {
			t.Errorf("after revision %d: state %+v, configuration %+v, %v, want revision %d", c.revision, state, got, err, c.want)
		}
	}
}
