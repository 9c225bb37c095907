package replicatest

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
)

// testAudit: what is pushed is judged by replica.Audit.Take, and stays, also over a refill.
func testAudit(t *testing.T, d Database) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := pki.MarshalSPKI(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	push := func(detail string, at int64) replica.AuditPush {
		h := audit.Leaf{Seq: 1, Detail: detail}.Hash()
		signed, err := audit.Sign(key, audit.Checkpoint{Tree: h, Size: 1, Root: h, At: time.Unix(at, 0)})
		if err != nil {
			t.Fatal(err)
		}
		return replica.AuditPush{Text: signed.Text(), Key: spki}
	}
	first, later, other := push("a", 1), push("a", 2), push("b", 3)
	var want replica.Audit
	for _, p := range []replica.AuditPush{first, later, other} {
		want = want.Take(p)
		state := apply(t, d.Store, replica.Push{Audit: &p})
		read, err := d.Store.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if read.AuditSize != 1 || read.AuditRefused != want.Reason {
			t.Errorf("state %+v after %q", state, p.Text)
		}
	}
	s := d.Reopen(t)
	apply(t, s, replica.Push{Refill: true})
	got, err := s.Audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if string(got.Text) != string(later.Text) || string(got.Refused) != string(other.Text) {
		t.Errorf("holds %q and refused %q", got.Text, got.Refused)
	}
}
