package authoritytest

import (
	"fmt"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// goodPages: every good serial of the issuer once, whatever the pages, and
// nothing that is revoked, held, abandoned or not issued yet.
func goodPages(t *testing.T, d Database) {
	ctx := t.Context()
	serials := issue(t, d.Store, expiry, identities("good", 20)...)
	perform(t, d.Store, act("hold", authority.VerbHold, serials[3]))
	perform(t, d.Store, act("revoke", authority.VerbRevoke, serials[19]))
	perform(t, d.Store, act("hold-2", authority.VerbHold, serials[5]))
	perform(t, d.Store, act("release-2", authority.VerbRelease, serials[5]))
	begun := serialsOf(begin(t, d.Store, identities("begun", 3)...))
	must(t, d.Store.RecordIntent(ctx, issuer, intents(expiry, begun[1:]...)))
	must(t, d.Store.Abandon(ctx, issuer, begun[2]))
	want := map[pki.Serial]authority.Record{}
	for i, serial := range serials {
		if i != 3 && i != 19 {
			want[serial] = status(t, d.Store, issuer, serial)
		}
	}
	for _, limit := range []int{1, 7, 18, authority.MaxChanges} {
		got := map[pki.Serial]authority.Record{}
		for after := int64(0); ; {
			page, next, err := d.Store.Good(ctx, issuer, after, limit)
			must(t, err)
			if len(page) > limit {
				t.Fatalf("%d records, limit is %d", len(page), limit)
			}
			for _, r := range page {
				if _, twice := got[r.Serial]; twice {
					t.Errorf("serial %s comes twice", r.Serial)
				}
				got[r.Serial] = r
			}
			if next == after {
				break
			}
			after = next
		}
		equal(t, fmt.Sprintf("good in pages of %d", limit), got, want)
	}
	if page, next, err := d.Store.Good(ctx, otherIssuer, 0, 10); err != nil || len(page) != 0 || next == 0 {
		t.Errorf("of another issuer: %v, next %d, %v", page, next, err)
	}
	for _, limit := range []int{0, authority.MaxChanges + 1} {
		if _, _, err := d.Store.Good(ctx, issuer, 0, limit); err == nil {
			t.Errorf("good took limit %d", limit)
		}
	}
}
