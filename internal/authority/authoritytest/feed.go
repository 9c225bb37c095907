package authoritytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

func changes(t *testing.T, s authority.Store, after int64, limit int) ([]authority.Change, int64) {
	t.Helper()
	all, next, err := s.Changes(t.Context(), after, limit)
	must(t, err)
	return all, next
}

func head(t *testing.T, s authority.Store) int64 {
	t.Helper()
	n, err := s.Head(t.Context())
	must(t, err)
	return n
}

func feedNumbers(t *testing.T, d Database) {
	if all, next := changes(t, d.Store, 0, 10); len(all) != 0 || next != 0 || head(t, d.Store) != 0 {
		t.Fatalf("an empty feed: %v, next %d", all, next)
	}
	const n = 300
	serials := issue(t, d.Store, expiry, identities("a", 200)...)
	serials = append(serials, issue(t, d.Store, expiry, identities("b", n-200)...)...)
	var got []pki.Serial
	after := int64(0)
	for {
		all, next := changes(t, d.Store, after, 77)
		if len(all) == 0 {
			break
		}
		for _, c := range all {
			if after++; c.Seq != after || c.Kind != authority.ChangeSerial {
				t.Fatalf("change %d of kind %s, want number %d", c.Seq, c.Kind, after)
			}
			got = append(got, c.Record.Serial)
		}
		if next != after {
			t.Fatalf("next is %d after change %d", next, after)
		}
	}
	equal(t, "serials in the order of their slices", got, serials)
	if h := head(t, d.Store); h != n {
		t.Errorf("head %d, want %d", h, n)
	}
	if all, next := changes(t, d.Store, n+5, 10); len(all) != 0 || next != n+5 {
		t.Errorf("beyond the head: %d changes, next %d", len(all), next)
	}
	for _, limit := range []int{0, authority.MaxChanges + 1} {
		if _, _, err := d.Store.Changes(t.Context(), 0, limit); err == nil {
			t.Errorf("changes took limit %d", limit)
		}
	}
}

// feedPresent: an early number shows the state of today, and of several changes
// in one answer only the last stays.
func feedPresent(t *testing.T, d Database) {
	s := issue(t, d.Store, expiry, identities("present", 2)...)
	perform(t, d.Store, act("hold", authority.VerbHold, s[0]))
	perform(t, d.Store, act("release", authority.VerbRelease, s[0]))
	perform(t, d.Store, act("revoke", authority.VerbRevoke, s[0]))
	now := []authority.Record{status(t, d.Store, issuer, s[0]), status(t, d.Store, issuer, s[1])}
	if now[0].Revocation == nil || now[0].Certificate == nil {
		t.Fatalf("record %+v", now[0])
	}
	all, next := changes(t, d.Store, 0, 100)
	equal(t, "all at once", all, []authority.Change{{Seq: 2, Kind: authority.ChangeSerial, Record: &now[1]}, {Seq: 5, Kind: authority.ChangeSerial, Record: &now[0]}})
	if next != 5 {
		t.Errorf("next %d, want 5", next)
	}
	for after, want := range []authority.Record{now[0], now[1], now[0], now[0], now[0]} {
		one, next := changes(t, d.Store, int64(after), 1)
		equal(t, fmt.Sprintf("change after %d", after), one, []authority.Change{{Seq: int64(after) + 1, Kind: authority.ChangeSerial, Record: &want}})
		if next != int64(after)+1 {
			t.Errorf("next %d", next)
		}
	}
}

// feedEach: one entry for each kind of change, none for what changes nothing.
func feedEach(t *testing.T, d Database) {
	ctx := t.Context()
	spec := authority.Accepted{Name: "BusinessCA/t/b", Spec: []byte("{}")}
	list := crlOf(5, "list 5")
	for range 2 { // again it changes nothing
		must(t, d.Store.Accept(ctx, spec))
		must(t, d.Store.SaveCRL(ctx, list))
	}
	stale := crlOf(4, "list 4")
	wantError(t, "a smaller number", d.Store.SaveCRL(ctx, stale), authority.ErrStaleCRL)
	delta := deltaOf(6, 5, "delta 6")
	must(t, d.Store.SaveCRL(ctx, delta))
	lost := serialsOf(begin(t, d.Store, identities("lost", 2)...))
	must(t, d.Store.RecordIntent(ctx, issuer, intents(expiry, lost...)))
	must(t, d.Store.Abandon(ctx, issuer, lost[0]))
	next := d.Reopen(t) // abandons the other
	if n := head(t, next); n != 5 {
		t.Errorf("%d changes, want 5", n)
	}
	if h, err := next.Heads(ctx); err != nil || h.Feed != 5 || h.Accepted != 1 || h.Audit == 0 {
		t.Errorf("heads %+v, %v", h, err)
	}
	first, second := status(t, next, issuer, lost[0]), status(t, next, issuer, lost[1])
	want := []authority.Change{
		{Seq: 1, Kind: authority.ChangeAccepted, Accepted: &spec}, {Seq: 2, Kind: authority.ChangeCRL, CRL: &list},
		{Seq: 3, Kind: authority.ChangeDelta, CRL: kept(delta)}, {Seq: 4, Kind: authority.ChangeSerial, Record: &first}, {Seq: 5, Kind: authority.ChangeSerial, Record: &second},
	}
	all, _ := changes(t, next, 0, 100)
	equal(t, "changes", all, want)
	if first.State != authority.StateAbandoned || second.State != authority.StateAbandoned {
		t.Errorf("serials are %s and %s", first.State, second.State)
	}
}

// feedLarge: an answer holds less than was asked for rather than too many bytes.
func feedLarge(t *testing.T, d Database) {
	const lists, size = 5, 7 << 20
	for shard := range int32(lists) {
		c := crlOf(1, "")
		c.Shard, c.DER = shard, bytes.Repeat([]byte{byte(shard)}, size)
		must(t, d.Store.SaveCRL(t.Context(), c))
	}
	seen, calls, after := 0, 0, int64(0)
	for {
		all, next := changes(t, d.Store, after, 100)
		if len(all) == 0 {
			break
		}
		if len(all)*size > 16<<20 {
			t.Errorf("an answer of %d MiB", len(all)*size>>20)
		}
		calls++
		seen += len(all)
		after = next
	}
	if seen != lists || calls != 3 {
		t.Errorf("%d lists in %d answers, want %d in 3", seen, calls, lists)
	}
}

// feedConcurrently: whatever writers do at the same time, the numbers have no gap, and a reader who goes by them misses nothing.
func feedConcurrently(t *testing.T, d Database) {
	const writers, slices = 4, 15
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writing, reading sync.WaitGroup
	var mu sync.Mutex
	written := map[pki.Serial]bool{}
	for w := range writers {
		writing.Go(func() {
			for i := range slices {
				ids := identities(fmt.Sprintf("w%d-%d", w, i), 3)
				begun, err := d.Store.Begin(ctx, issuer, 1, ids)
				if err != nil {
					t.Error(err)
					return
				}
				keepDrawn(begun)
				serials := serialsOf(begun)
				if err := d.Store.RecordIntent(ctx, issuer, intents(expiry, serials...)); err != nil {
					t.Error(err)
				}
				if err := d.Store.RecordIssued(ctx, issuer, issueds(serials...)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, s := range serials {
					written[s] = true
				}
				mu.Unlock()
			}
		})
	}
	read := map[pki.Serial]bool{}
	reading.Go(func() {
		for after := int64(0); after < writers*slices*3 && ctx.Err() == nil; {
			all, next, err := d.Store.Changes(ctx, after, 50)
			if err != nil {
				t.Error(err)
				return
			}
			for _, c := range all {
				if after++; c.Seq != after {
					t.Errorf("number %d after %d", c.Seq, after-1)
				}
				read[c.Record.Serial] = true
			}
			after = next
		}
	})
	time.AfterFunc(time.Minute, stop)
	writing.Wait()
	reading.Wait()
	if d := cmp.Diff(written, read); d != "" {
		t.Errorf("written and read differ:\n%s", d)
	}
	if h := head(t, d.Store); h != writers*slices*3 {
		t.Errorf("head %d, want %d", h, writers*slices*3)
	}
}

func feedPositions(t *testing.T, d Database) {
	ctx := t.Context()
	for _, step := range []struct {
		consumer string
		set      int64
	}{{"Directory/tier/master", 7}, {"ValidationService/tier/public/0", 9}, {"Directory/tier/master", 8}, {"Directory/tier/master", 2}} {
		must(t, d.Store.SetPosition(ctx, step.consumer, step.set))
		if got, err := d.Store.Position(ctx, step.consumer); err != nil || got != step.set {
			t.Errorf("position of %s: %d, %v, want %d", step.consumer, got, err, step.set)
		}
	}
	if got, err := d.Store.Position(ctx, "new"); err != nil || got != 0 {
		t.Errorf("position of a new consumer: %d, %v", got, err)
	}
	if got, err := d.Reopen(t).Position(ctx, "ValidationService/tier/public/0"); err != nil || got != 9 {
		t.Errorf("position after a takeover: %d, %v", got, err)
	}
	if d.Store.SetPosition(ctx, "", 1) == nil || d.Store.SetPosition(ctx, "x", -1) == nil {
		t.Error("a consumer without a name, or a negative position, is taken")
	}
}

// feedAnchors: an anchor is of one number of one ledger and stays as it is.
func feedAnchors(t *testing.T, d Database) {
	serials := issue(t, d.Store, expiry, identities("a", 3)...)
	anchor := func(s authority.Store, seq int64) []byte {
		t.Helper()
		a, err := s.Anchor(t.Context(), seq)
		must(t, err)
		return a
	}
	first := anchor(d.Store, 1)
	if len(first) != 32 || bytes.Equal(first, anchor(d.Store, 2)) {
		t.Errorf("anchors of two numbers are %x and %x", first, anchor(d.Store, 2))
	}
	perform(t, d.Store, act("revoke", authority.VerbRevoke, serials[0]))
	if again := anchor(d.Reopen(t), 1); !bytes.Equal(first, again) {
		t.Errorf("anchor is %x after an act on its serial and a takeover, want %x", again, first)
	}
	for _, seq := range []int64{0, -1, 5} {
		if _, err := d.Store.Anchor(t.Context(), seq); !errors.Is(err, authority.ErrNotFound) {
			t.Errorf("anchor of number %d: %v, want ErrNotFound", seq, err)
		}
	}
}
