package authoritytest

import (
	"fmt"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

func cycle(t *testing.T, d Database) {
	before := time.Now().Add(-time.Second)
	id := identity("cycle")
	serial := begin(t, d.Store, id)[0].Serial
	want := authority.Record{Issuer: issuer, Serial: serial, Identity: id, State: authority.StateIntended, TBS: tbs(serial), NotAfter: expiry}
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, serial)))
	equal(t, "intended", begin(t, d.Store, id)[0].Record, want)

	must(t, d.Store.RecordIssued(t.Context(), issuer, issueds(serial)))
	got := begin(t, d.Store, id)[0].Record
	if got.IssuedAt.Before(before) || got.IssuedAt.After(time.Now().Add(time.Second)) {
		t.Errorf("issued at %s", got.IssuedAt)
	}
	want.State, want.TBS, want.Certificate, want.IssuedAt = authority.StateIssued, nil, cert(serial), got.IssuedAt
	equal(t, "issued", got, want)
	equal(t, "status", status(t, d.Store, issuer, serial), want)
	equal(t, "after a takeover", begin(t, d.Reopen(t), id)[0].Record, want)
	if n := d.Count(t, `SELECT COUNT(*) FROM feed WHERE kind = 'Serial'`); n != 1 {
		t.Errorf("%d feed entries", n)
	}
}

func cycleFullSlice(t *testing.T, d Database) {
	for _, n := range []int{authority.MaxSlice, authority.MaxSlice - 1, 3} {
		issue(t, d.Store, expiry, identities(fmt.Sprintf("slice-%d", n), n)...)
	}
	n, err := d.Store.Count(t.Context(), issuer)
	if want := int64(2*authority.MaxSlice + 2); err != nil || n != want {
		t.Errorf("count %d, %v, want %d", n, err, want)
	}
	if n, err := d.Store.Count(t.Context(), otherIssuer); err != nil || n != 0 {
		t.Errorf("count of another issuer: %d, %v", n, err)
	}
}

func statesAllOrNone(t *testing.T, d Database) {
	ctx := t.Context()
	s := serialsOf(begin(t, d.Store, identities("state", 5)...))
	drawn, intended, issued, abandoned, fresh := s[0], s[1], s[2], s[3], s[4]
	must(t, d.Store.RecordIntent(ctx, issuer, intents(expiry, intended, issued, abandoned)))
	must(t, d.Store.RecordIssued(ctx, issuer, issueds(issued)))
	must(t, d.Store.Abandon(ctx, issuer, abandoned))
	unknown := pki.Serial("0102030405")

	// Each bad serial stands after a good one, which must not move.
	for name, bad := range map[string]pki.Serial{"intended": intended, "issued": issued, "abandoned": abandoned} {
		wantError(t, "intent for "+name, d.Store.RecordIntent(ctx, issuer, intents(expiry, fresh, bad)), authority.ErrElsewhere)
	}
	if err := d.Store.RecordIntent(ctx, issuer, intents(expiry, fresh, fresh)); err == nil {
		t.Error("an intent taken that stands twice in a slice")
	}
	for name, bad := range map[string]pki.Serial{"drawn": drawn, "issued": issued, "abandoned": abandoned, "unknown": unknown, "repeated": intended} {
		wantError(t, "issued for "+name, d.Store.RecordIssued(ctx, issuer, issueds(intended, bad)), authority.ErrState)
	}
	for name, bad := range map[string]pki.Serial{"drawn": drawn, "issued": issued, "abandoned": abandoned, "unknown": unknown} {
		wantError(t, "abandon "+name, d.Store.Abandon(ctx, issuer, bad), authority.ErrState)
	}
	other := issueds(intended)
	other[0].Certificate = cert(issued)
	if err := d.Store.RecordIssued(ctx, issuer, other); err == nil {
		t.Error("a certificate taken that is not over what was intended")
	}
	wantError(t, "issued under another issuer", d.Store.RecordIssued(ctx, otherIssuer, issueds(intended)), authority.ErrState)
	wantError(t, "abandon under another issuer", d.Store.Abandon(ctx, otherIssuer, intended), authority.ErrState)
	for serial, want := range map[pki.Serial]authority.State{intended: authority.StateIntended, issued: authority.StateIssued, abandoned: authority.StateAbandoned} {
		if got := status(t, d.Store, issuer, serial).State; got != want {
			t.Errorf("serial %s is %s, want %s", serial, got, want)
		}
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM serials`); n != 3 {
		t.Errorf("%d serials, want 3: what was refused is not recorded", n)
	}
	if n := d.Count(t, `SELECT COUNT(*) FROM feed`); n != 2 {
		t.Errorf("%d feed entries, want 2: one issued, one abandoned", n)
	}
}

func sliceLimits(t *testing.T, d Database) {
	ctx := t.Context()
	for _, n := range []int{0, authority.MaxSlice + 1} {
		serials := make([]pki.Serial, n)
		for i := range serials {
			serials[i] = pki.Serial(fmt.Sprintf("01%038X", i))
		}
		_, beginErr := d.Store.Begin(ctx, issuer, 1, identities("limit", n))
		for name, err := range map[string]error{
			"Begin":        beginErr,
			"RecordIntent": d.Store.RecordIntent(ctx, issuer, intents(expiry, serials...)),
			"RecordIssued": d.Store.RecordIssued(ctx, issuer, issueds(serials...)),
		} {
			if err == nil {
				t.Errorf("%s took a slice of %d", name, n)
			}
		}
	}
	serial := begin(t, d.Store, identity("limit"))[0].Serial
	for name, in := range map[string]authority.Intent{
		"no TBS":      {NotAfter: expiry, Attempt: 1},
		"large TBS":   {NotAfter: expiry, Attempt: 1, TBS: make([]byte, 1<<20)},
		"no notAfter": {TBS: tbs(serial), Attempt: 1},
		"no attempt":  {NotAfter: expiry, TBS: tbs(serial)},
	} {
		in.Serial, in.Identity = serial, identity("limit")
		if err := d.Store.RecordIntent(ctx, issuer, []authority.Intent{in}); err == nil {
			t.Errorf("intent taken with %s", name)
		}
	}
}

// abandon closes an attempt; the next begins anew under another serial.
func abandon(t *testing.T, d Database) {
	id := identity("abandoned")
	first := begin(t, d.Store, id)[0].Serial
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, first)))
	must(t, d.Store.Abandon(t.Context(), issuer, first))
	wantAbandoned(t, d.Store, id, first)
	second := begin(t, d.Store, id)[0]
	if second.Serial == first || second.State != authority.StateDrawn || second.Attempt != 2 {
		t.Fatalf("begun after abandonment: %+v", second)
	}
	must(t, d.Store.RecordIntent(t.Context(), issuer, intents(expiry, second.Serial)))
	if r, err := d.Store.Find(t.Context(), id.Kind, id.Namespace, id.Name); err != nil || r.Serial != second.Serial {
		t.Errorf("find: serial %s, %v; want the newest, %s", r.Serial, err, second.Serial)
	}
}

// wantAbandoned checks a serial by itself and on its shard's list.
func wantAbandoned(t *testing.T, s authority.Store, id authority.Identity, serial pki.Serial) {
	t.Helper()
	got := status(t, s, issuer, serial)
	if got.Revocation == nil {
		t.Fatalf("abandoned serial %s has no revocation", serial)
	}
	if age := time.Since(got.Revocation.At); age < -time.Second || age > time.Minute {
		t.Errorf("abandoned at %s", got.Revocation.At)
	}
	want := authority.Record{Issuer: issuer, Serial: serial, Identity: id, State: authority.StateAbandoned, TBS: tbs(serial), NotAfter: expiry,
		Revocation: &authority.Revocation{At: got.Revocation.At, Reason: pki.ReasonCessationOfOperation}}
	equal(t, "abandoned", got, want)
	equal(t, "on the list", revoked(t, s, 0, time.Now()), []authority.Record{onList(want)})
	refused := perform(t, s, act("of-"+string(serial), authority.VerbRevoke, serial))
	if refused.Refusal != authority.RefusedNotIssued {
		t.Errorf("revoke an abandoned serial: refusal %q, want %q", refused.Refusal, authority.RefusedNotIssued)
	}
}
