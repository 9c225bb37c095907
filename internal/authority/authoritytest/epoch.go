package authoritytest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

func takeoverAbandons(t *testing.T, d Database) {
	ids := []authority.Identity{identity("drawn"), identity("intended")}
	s := serialsOf(begin(t, d.Store, ids...))
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, s[1])))
	done := issue(t, d.Store, expiry, identity("issued"))

	next := d.Reopen(t)
	wantAbandoned(t, next, ids[1], s[1])
	begun := begin(t, next, append(ids, identity("issued"))...)
	if begun[0].State != authority.StateDrawn || begun[0].Attempt != 1 {
		t.Errorf("drawn before the crash: %+v", begun[0])
	}
	if begun[1].Serial == s[1] || begun[1].State != authority.StateDrawn || begun[1].Attempt != 2 {
		t.Errorf("intended before the crash: %+v, want a new serial", begun[1])
	}
	if begun[2].Serial != done[0] || begun[2].State != authority.StateIssued {
		t.Errorf("issued before the crash: %+v", begun[2])
	}
	must(t, next.RecordIntent(t.Context(), issuer, intents(expiry, begun[0].Serial, begun[1].Serial)))
	must(t, next.RecordIssued(t.Context(), issuer, issueds(begun[0].Serial, begun[1].Serial)))
}

func takeoverFences(t *testing.T, d Database) {
	s := serialsOf(begin(t, d.Store, identities("fence", 2)...))
	done := issue(t, d.Store, expiry, identity("done"))
	next := d.Reopen(t)
	begun := serialsOf(begin(t, next, identities("next", 2)...))
	must(t, next.RecordIntent(t.Context(), issuer, intents(expiry, begun...)))
	calls := fencedWrites(s[0], begun[0], begun[1], done[0])
	leaves := d.Count(t, `SELECT COUNT(*) FROM audit_leaves`)
	for name, call := range calls {
		wantError(t, name+" by the earlier process", call(t.Context(), d.Store), authority.ErrFenced)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM audit_leaves`); n != leaves {
		t.Errorf("fenced writes left %d audit leaves", n-leaves)
	}
	for name, call := range calls { // the calls are good, only their store was not
		if err := call(t.Context(), next); err != nil {
			t.Errorf("%s by the new process: %v", name, err)
		}
	}
	_, err := d.Store.Heads(t.Context())
	wantError(t, "a look of the earlier process", err, authority.ErrFenced)
	if _, err := d.Store.Status(t.Context(), issuer, done[0]); err != nil {
		t.Errorf("the earlier process may still read: %v", err)
	}
}

// takeoverDuringWrites: whatever the earlier process was told is recorded
// stays so, and nothing stays Intended.
func takeoverDuringWrites(t *testing.T, d Database) {
	type told struct {
		intended, issued []pki.Serial
		err              error
	}
	results := make(chan told)
	started := make(chan struct{}, 4)
	for w := range 4 {
		go func() {
			var r told
			for i := 0; i < 1000 && r.err == nil; i++ {
				var begun []authority.Begun
				if begun, r.err = d.Store.Begin(t.Context(), issuer, 1, []authority.Identity{identity(fmt.Sprintf("writer-%d-%d", w, i))}); r.err != nil {
					break
				}
				keepDrawn(begun)
				serial := begun[0].Serial
				if r.err = d.Store.RecordIntent(t.Context(), issuer, intents(expiry, serial)); r.err != nil {
					break
				}
				r.intended = append(r.intended, serial)
				if r.err = d.Store.RecordIssued(t.Context(), issuer, issueds(serial)); r.err == nil {
					r.issued = append(r.issued, serial)
				}
				if i == 3 {
					started <- struct{}{}
				}
			}
			results <- r
		}()
	}
	for range 4 {
		select {
		case <-started:
		case r := <-results:
			t.Fatalf("writer ended before the takeover: %v", r.err)
		case <-time.After(time.Minute):
			t.Fatal("writers are too slow")
		}
	}
	next := d.Reopen(t)
	for range 4 {
		r := <-results
		wantError(t, "the writer's last call", r.err, authority.ErrFenced)
		for _, serial := range r.issued {
			if got := status(t, next, issuer, serial).State; got != authority.StateIssued {
				t.Errorf("serial %s was recorded as issued and is %s", serial, got)
			}
		}
		for _, serial := range r.intended[len(r.issued):] {
			if got := status(t, next, issuer, serial).State; got != authority.StateAbandoned {
				t.Errorf("serial %s was intended at the takeover and is %s", serial, got)
			}
		}
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM attempts`); n != 0 {
		t.Errorf("%d serials are Intended after a takeover", n)
	}
}

func sharedWritesNothing(t *testing.T, d Database) {
	s := serialsOf(begin(t, d.Store, identities("shared", 3)...))
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, s[1], s[2])))
	done := issue(t, d.Store, expiry, identity("done"))
	shared := d.Shared(t)
	calls := fencedWrites(s[0], s[1], s[2], done[0])
	for name, call := range calls {
		wantError(t, name+" without takeover", call(t.Context(), shared), authority.ErrFenced)
	}
	if got := status(t, shared, issuer, done[0]).State; got != authority.StateIssued {
		t.Errorf("read without takeover: serial is %s", got)
	}
	must(t, shared.Ping(t.Context()))
	for name, call := range calls {
		if err := call(t.Context(), d.Store); err != nil {
			t.Errorf("%s by the process that issues: %v", name, err)
		}
	}
}

// besideEachOther: two processes issue into one ledger; one takes over what the
// other left when it has been silent.
func besideEachOther(t *testing.T, d Database) {
	if d.Beside == nil {
		t.Skip("one process writes to this database")
	}
	ctx := t.Context()
	other := d.Beside(t)
	mine := issue(t, d.Store, expiry, identity("mine"))
	theirs := issue(t, other, expiry, identity("theirs"))
	for _, serial := range append(mine, theirs...) {
		equal(t, "seen by both", status(t, d.Store, issuer, serial), status(t, other, issuer, serial))
	}
	left := begin(t, other, identity("left"))[0].Serial
	must(t, other.RecordIntent(ctx, issuer, intents(expiry, left)))
	begun := begin(t, d.Store, identity("left"))[0]
	if begun.State != authority.StateIntended {
		t.Fatalf("what the other has in hand is %s", begun.State)
	}
	wantError(t, "abandon what the other has in hand", d.Store.Abandon(ctx, issuer, left), authority.ErrElsewhere)
	wantError(t, "record what the other has in hand", d.Store.RecordIssued(ctx, issuer, issueds(left)), authority.ErrElsewhere)
	renew := func(s authority.Store, silence time.Duration, leads bool) {
		t.Helper()
		if got, err := s.Renew(ctx, silence); err != nil || got != leads {
			t.Errorf("leads: %t, %v, want %t", got, err, leads)
		}
	}
	renew(other, time.Minute, false)
	renew(d.Store, time.Minute, true)
	if _, err := d.Store.Renew(ctx, time.Millisecond); err == nil {
		t.Error("renew with hardly any silence")
	}
	time.Sleep(1100 * time.Millisecond)
	renew(d.Store, time.Second, true) // was silent itself, and gives the other a round
	must(t, other.Ping(ctx))
	equal(t, "in hand after that round", status(t, d.Store, issuer, left).State, authority.StateIntended)
	renew(d.Store, time.Second, true)
	wantAbandoned(t, d.Store, identity("left"), left)
	wantError(t, "write of the silent one", other.RecordIssued(ctx, issuer, issueds(left)), authority.ErrFenced)
	issue(t, d.Store, expiry, identity("left"))
	second := d.Beside(t)
	renew(second, time.Minute, false)
	time.Sleep(1100 * time.Millisecond)
	renew(second, time.Second, false)
	renew(second, time.Second, true) // the first has been silent
}

func closed(t *testing.T, d Database) {
	must(t, d.Store.Ping(t.Context()))
	must(t, d.Store.Close())
	if err := d.Store.Ping(t.Context()); err == nil {
		t.Error("a closed store answers")
	}
	if _, err := d.Store.Begin(t.Context(), issuer, 1, identities("closed", 1)); err == nil || errors.Is(err, authority.ErrFenced) {
		t.Errorf("begin on a closed store: %v", err)
	}
}
