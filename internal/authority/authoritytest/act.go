package authoritytest

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// actTime has microseconds, which the ledger keeps.
var actTime = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// act is one of issuer that a CertificateRevocation of this name asks for.
func act(name string, verb authority.Verb, serial pki.Serial) authority.Act {
	a := authority.Act{
		Identity: authority.Identity{Kind: "CertificateRevocation", Namespace: "people", Name: name, Digest: sha256.Sum256([]byte(name))},
		Issuer:   issuer, Serial: serial, Verb: verb, At: actTime,
	}
	if verb == authority.VerbRevoke {
		a.Reason = pki.ReasonSuperseded
	}
	return a
}

func perform(t *testing.T, s authority.Store, a authority.Act) authority.Performed {
	t.Helper()
	p, err := s.Perform(t.Context(), a)
	if err != nil {
		t.Fatalf("%s of %s: %v", a.Verb, a.Serial, err)
	}
	return p
}

// actsOnce also checks that a release takes the serial off the list.
func actsOnce(t *testing.T, d Database) {
	serial := issue(t, d.Store, expiry, identity("acted"))[0]
	good := status(t, d.Store, issuer, serial)
	_, err := d.Store.FindAct(t.Context(), "CertificateRevocation", "people", "hold")
	wantError(t, "find what was never done", err, authority.ErrNotFound)
	for _, step := range []struct {
		act  authority.Act
		want *authority.Revocation
	}{
		{act("hold", authority.VerbHold, serial), &authority.Revocation{At: actTime, Reason: pki.ReasonCertificateHold}},
		{act("release", authority.VerbRelease, serial), nil},
		{act("hold-again", authority.VerbHold, serial), &authority.Revocation{At: actTime, Reason: pki.ReasonCertificateHold}},
		{act("release-again", authority.VerbRelease, serial), nil},
		{act("revoke", authority.VerbRevoke, serial), &authority.Revocation{At: actTime, Reason: pki.ReasonSuperseded}},
	} {
		name := step.act.Identity.Name
		first := perform(t, d.Store, step.act)
		if age := time.Since(first.RecordedAt); age < -time.Second || age > time.Minute {
			t.Errorf("%s: recorded at %s", name, first.RecordedAt)
		}
		want := authority.Performed{Act: step.act, RecordedAt: first.RecordedAt}
		equal(t, name, first, want)
		found, err := d.Store.FindAct(t.Context(), step.act.Identity.Kind, step.act.Identity.Namespace, name)
		must(t, err)
		equal(t, name+", found", found, want)
		want.Adopted = true
		equal(t, name+" again", perform(t, d.Store, step.act), want)

		record := good
		record.Revocation = step.want
		equal(t, "status after "+name, status(t, d.Store, issuer, serial), record)
		listed := []authority.Record{onList(record)}
		if step.want == nil {
			listed = nil
		}
		equal(t, "list after "+name, revoked(t, d.Store, 0, time.Now()), listed)
	}
	next := d.Reopen(t)
	if p := perform(t, next, act("hold", authority.VerbHold, serial)); !p.Adopted || p.Refusal != "" {
		t.Errorf("the first act after a takeover: %+v, want it adopted", p)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM audit_leaves WHERE act IN ('revoke', 'hold', 'release', 'act-refused')`); n != 5 {
		t.Errorf("%d audit leaves for 5 acts", n)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM feed WHERE kind = 'Serial'`); n != 6 {
		t.Errorf("%d feed entries, want 6: the issuance and 5 acts", n)
	}
}

func actsRefused(t *testing.T, d Database) {
	s := issue(t, d.Store, expiry, identities("state", 3)...)
	good, held, gone := s[0], s[1], s[2]
	perform(t, d.Store, act("held", authority.VerbHold, held))
	perform(t, d.Store, act("gone", authority.VerbRevoke, gone))
	lost := begin(t, d.Store, identity("lost"))[0].Serial
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, lost)))
	must(t, d.Store.Abandon(t.Context(), issuer, lost))
	before := d.Count(t, `SELECT COUNT(*) FROM feed`)
	for name, tc := range map[string]struct {
		serial pki.Serial
		verb   authority.Verb
		want   authority.Refusal
	}{
		"release-good":      {good, authority.VerbRelease, authority.RefusedNotHeld},
		"hold-held":         {held, authority.VerbHold, authority.RefusedHeld},
		"hold-revoked":      {gone, authority.VerbHold, authority.RefusedRevoked},
		"release-revoked":   {gone, authority.VerbRelease, authority.RefusedRevoked},
		"revoke-revoked":    {gone, authority.VerbRevoke, authority.RefusedRevoked},
		"revoke-abandoned":  {lost, authority.VerbRevoke, authority.RefusedNotIssued},
		"hold-abandoned":    {lost, authority.VerbHold, authority.RefusedNotIssued},
		"release-abandoned": {lost, authority.VerbRelease, authority.RefusedNotIssued},
	} {
		a := act(name, tc.verb, tc.serial)
		was := status(t, d.Store, issuer, tc.serial)
		if got := perform(t, d.Store, a); got.Refusal != tc.want || got.Adopted {
			t.Errorf("%s: refusal %q, adopted %t, want %q", name, got.Refusal, got.Adopted, tc.want)
		}
		if got := perform(t, d.Store, a); got.Refusal != tc.want || !got.Adopted {
			t.Errorf("%s again: refusal %q, adopted %t, want %q adopted", name, got.Refusal, got.Adopted, tc.want)
		}
		equal(t, "status after "+name, status(t, d.Store, issuer, tc.serial), was)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM feed`); n != before {
		t.Errorf("refused acts left %d feed entries", n-before)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM audit_leaves WHERE act = 'act-refused'`); n != 8 {
		t.Errorf("%d audit leaves for 8 refusals", n)
	}
}

// actsRefuse: what is refused with an error is not recorded.
func actsRefuse(t *testing.T, d Database) {
	s := serialsOf(begin(t, d.Store, identities("refused", 2)...))
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, s[1])))
	issued := issue(t, d.Store, expiry, identity("issued"))[0]
	changed := func(serial pki.Serial, change func(*authority.Act)) authority.Act {
		a := act("refuse", authority.VerbRevoke, serial)
		change(&a)
		return a
	}
	none := func(*authority.Act) {}
	for name, tc := range map[string]struct {
		act  authority.Act
		want error // nil: any
	}{
		"reserved":           {changed(s[0], none), authority.ErrNotFound},
		"intended":           {changed(s[1], none), authority.ErrNotFound},
		"unknown":            {changed("0102", none), authority.ErrNotFound},
		"another issuer":     {changed(issued, func(a *authority.Act) { a.Issuer = otherIssuer }), authority.ErrNotFound},
		"removeFromCRL":      {changed(issued, func(a *authority.Act) { a.Reason = 8 }), nil},
		"revoke with a hold": {changed(issued, func(a *authority.Act) { a.Reason = pki.ReasonCertificateHold }), nil},
		"no time":            {changed(issued, func(a *authority.Act) { a.At = time.Time{} }), nil},
		"no name":            {changed(issued, func(a *authority.Act) { a.Identity.Name = "" }), nil},
		"no verb":            {changed(issued, func(a *authority.Act) { a.Verb = "" }), nil},
	} {
		_, err := d.Store.Perform(t.Context(), tc.act)
		if tc.want != nil {
			wantError(t, name, err, tc.want)
		} else if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM acts`); n != 0 {
		t.Errorf("%d acts recorded, want none", n)
	}
	first := act("refuse", authority.VerbHold, issued)
	perform(t, d.Store, first) // the name is still free
	other := act("refuse", authority.VerbRelease, issued)
	other.Identity.Digest[0]++
	_, err := d.Store.Perform(t.Context(), other)
	wantError(t, "another act under the name", err, authority.ErrActConflict)
	if r := status(t, d.Store, issuer, issued).Revocation; r == nil || r.Reason != pki.ReasonCertificateHold {
		t.Errorf("the conflict changed the serial: %v", r)
	}
}

// heldThenRevoked: the revocation's own time and reason take the hold's place.
func heldThenRevoked(t *testing.T, d Database) {
	serial := issue(t, d.Store, expiry, identity("held"))[0]
	perform(t, d.Store, act("hold", authority.VerbHold, serial))
	revoke := act("revoke", authority.VerbRevoke, serial)
	revoke.At, revoke.Reason = actTime.Add(time.Hour), pki.ReasonKeyCompromise
	perform(t, d.Store, revoke)
	want := &authority.Revocation{At: revoke.At, Reason: pki.ReasonKeyCompromise}
	equal(t, "revocation", status(t, d.Store, issuer, serial).Revocation, want)
	if p := perform(t, d.Store, act("release", authority.VerbRelease, serial)); p.Refusal != authority.RefusedRevoked {
		t.Errorf("release of a revoked certificate: %q", p.Refusal)
	}
	equal(t, "revocation after a release", status(t, d.Store, issuer, serial).Revocation, want)
}

// refusalStays: a refused act that is asked for again does nothing, although it
// would fit by now.
func refusalStays(t *testing.T, d Database) {
	serial := issue(t, d.Store, expiry, identity("early"))[0]
	early := act("early", authority.VerbRelease, serial)
	if p := perform(t, d.Store, early); p.Refusal != authority.RefusedNotHeld {
		t.Fatalf("release of what is not held: %q", p.Refusal)
	}
	perform(t, d.Store, act("hold", authority.VerbHold, serial))
	if p := perform(t, d.Reopen(t), early); p.Refusal != authority.RefusedNotHeld || !p.Adopted {
		t.Errorf("the same release when it is held: %+v, want the recorded refusal", p)
	}
	if status(t, d.Store, issuer, serial).Revocation == nil {
		t.Error("the refused release was done later")
	}
}

func actsConcurrently(t *testing.T, d Database) {
	serials := issue(t, d.Store, expiry, identities("busy", 8)...)
	const callers = 8
	all := func(do func(i int) (authority.Performed, error)) (done []authority.Performed) {
		t.Helper()
		var wg sync.WaitGroup
		performed, errs := make([]authority.Performed, callers), make([]error, callers)
		for i := range callers {
			wg.Go(func() { performed[i], errs[i] = do(i) })
		}
		wg.Wait()
		for i := range callers {
			must(t, errs[i])
			if !performed[i].Adopted {
				done = append(done, performed[i])
			}
		}
		return done
	}
	same := all(func(int) (authority.Performed, error) {
		return d.Store.Perform(t.Context(), act("same", authority.VerbRevoke, serials[0]))
	})
	if len(same) != 1 || same[0].Refusal != "" {
		t.Errorf("the same act by %d callers was done by %d: %+v", callers, len(same), same)
	}
	names := []string{"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"}
	performed := 0
	for _, p := range all(func(i int) (authority.Performed, error) {
		return d.Store.Perform(t.Context(), act(names[i], authority.VerbHold, serials[1]))
	}) {
		if p.Refusal == "" {
			performed++
		} else if p.Refusal != authority.RefusedHeld {
			t.Errorf("refusal %q", p.Refusal)
		}
	}
	if performed != 1 {
		t.Errorf("%d holds of one serial were done, want 1", performed)
	}
	var wg sync.WaitGroup
	errs := make([]error, callers)
	for i := range callers { // one name, different serials and digests
		a := act("one-name", authority.VerbRevoke, serials[i])
		a.Identity.Digest = sha256.Sum256([]byte(serials[i]))
		wg.Go(func() { _, errs[i] = d.Store.Perform(t.Context(), a) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantError(t, "another act under the name", err, authority.ErrActConflict)
		}
	}
	if won != 1 {
		t.Errorf("%d acts under one name", won)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM acts`); n != 10 {
		t.Errorf("%d acts recorded, want 10", n)
	}
}

// actsTogether: acts of many callers at once are each done or refused as they
// would be alone, also when some of them fail.
func actsTogether(t *testing.T, d Database) {
	serials := issue(t, d.Store, expiry, identities("together", 60)...)
	taken := act("taken", authority.VerbHold, serials[0])
	perform(t, d.Store, taken)
	taken.Identity.Digest[0]++
	var wg sync.WaitGroup
	results, errs := make([]authority.Performed, len(serials)), make([]error, len(serials))
	for i, serial := range serials {
		wg.Go(func() {
			a := act(fmt.Sprint("together-", i%50), authority.VerbRevoke, serial) // the last ten are others under names of the first
			switch {
			case i%10 == 3:
				a = taken // another act under a name that was used
			case i >= 50:
				a = act(fmt.Sprint("together-", i%50), authority.VerbRevoke, serials[i%50])
			}
			results[i], errs[i] = d.Store.Perform(t.Context(), a)
		})
	}
	wg.Wait()
	for i := range serials {
		switch {
		case i%10 == 3:
			wantError(t, fmt.Sprint("act ", i), errs[i], authority.ErrActConflict)
		case errs[i] != nil || results[i].Refusal != "":
			t.Errorf("act %d: %q, %v", i, results[i].Refusal, errs[i])
		case i < 10 && results[i].Adopted == results[50+i].Adopted:
			t.Errorf("act %d was adopted by both of its callers or by none", i)
		}
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM acts`); n != 1+45 {
		t.Errorf("%d acts, want 46", n)
	}
}
