package replica

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

func TestBatches(t *testing.T) {
	issuer := authority.IssuerKey{Authority: "BusinessCA/ns/a", Generation: 1}
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	serial := func(seq int64) authority.Change {
		return authority.Change{Seq: seq, Kind: authority.ChangeSerial, Record: &authority.Record{Issuer: issuer, Serial: "01", State: authority.StateIssued, NotAfter: now,
			Certificate: []byte("not for nodes"), Identity: authority.Identity{Name: "not for nodes"}}}
	}
	abandoned := authority.Change{Seq: 3, Kind: authority.ChangeSerial, Record: &authority.Record{Issuer: issuer, Serial: "02", State: authority.StateAbandoned, NotAfter: now,
		Revocation: &authority.Revocation{At: now, Reason: pki.ReasonCessationOfOperation}}}
	list := func(seq int64, size int) authority.Change {
		return authority.Change{Seq: seq, Kind: authority.ChangeCRL, CRL: &authority.CRL{Issuer: issuer, Number: seq, DER: make([]byte, size)}}
	}
	accepted := func(seq int64) authority.Change {
		return authority.Change{Seq: seq, Kind: authority.ChangeAccepted, Accepted: &authority.Accepted{Name: "ValidationService/ns/v"}}
	}
	status := func(seq int64) Change {
		return Change{Seq: seq, Status: Status{Issuer: issuer, Serial: "01", NotAfter: now}}
	}
	for name, c := range map[string]struct {
		changes      []authority.Change
		next         int64
		want         []Push
		wantAccepted bool
		wantSkipped  string
	}{
		"nothing": {nil, 10, nil, false, ""},
		"serials": {[]authority.Change{serial(11), serial(12)}, 12, []Push{{After: 10, Next: 12, Changes: []Change{status(11), status(12)}}}, false, ""},
		"numbers with gaps": {[]authority.Change{serial(12), serial(15)}, 17,
			[]Push{{After: 10, Next: 17, Changes: []Change{status(12), status(15)}}}, false, ""},
		"a list goes alone": {[]authority.Change{serial(11), list(12, 3), serial(13)}, 13, []Push{{After: 10, Next: 11, Changes: []Change{status(11)}},
			{After: 11, Next: 12, CRL: list(12, 3).CRL}, {After: 12, Next: 13, Changes: []Change{status(13)}}}, false, ""},
		"lists alone":            {[]authority.Change{list(11, 3), list(12, 3)}, 12, []Push{{After: 10, Next: 11, CRL: list(11, 3).CRL}, {After: 11, Next: 12, CRL: list(12, 3).CRL}}, false, ""},
		"accepted moves numbers": {[]authority.Change{accepted(11)}, 11, []Push{{After: 10, Next: 11}}, true, ""},
		"a list that is too long is left out": {[]authority.Change{list(11, MaxCRL+1), serial(12)}, 12,
			[]Push{{After: 10, Next: 12, Changes: []Change{status(12)}}}, false, "spec.crl.shards"},
		"abandoned is revoked": {[]authority.Change{func() authority.Change { c := abandoned; c.Seq = 11; return c }()}, 11,
			[]Push{{After: 10, Next: 11, Changes: []Change{{Seq: 11, Status: Status{Issuer: issuer, Serial: "02", NotAfter: now, Revocation: abandoned.Record.Revocation}}}}}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, accepted, skipped := batches(c.changes, 10, c.next)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("pushes (-want +got):\n%s", diff)
			}
			if accepted != c.wantAccepted || (len(skipped) > 0) != (c.wantSkipped != "") || len(skipped) > 0 && !strings.Contains(skipped[shard{issuer, 0, false}].Error(), c.wantSkipped) {
				t.Errorf("accepted %t, skipped %v, want %t, %q", accepted, skipped, c.wantAccepted, c.wantSkipped)
			}
		})
	}
}

func TestListThatIsTooLongIsToldUntilItsOwnShardGoesThrough(t *testing.T) {
	a, b := authority.IssuerKey{Authority: "BusinessCA/ns/a", Generation: 1}, authority.IssuerKey{Authority: "BusinessCA/ns/b", Generation: 1}
	list := func(issuer authority.IssuerKey, size int) []authority.Change {
		return []authority.Change{{Seq: 11, Kind: authority.ChangeCRL, CRL: &authority.CRL{Issuer: issuer, Number: 1, DER: make([]byte, size)}}}
	}
	w := newWorker(NewSender(SenderConfig{}), Target{Name: "val-a"}, func() {})
	for _, step := range []struct {
		issuer authority.IssuerKey
		size   int
		told   bool
	}{{a, MaxCRL + 1, true}, {b, 10, true}, {a, MaxCRL + 1, true}, {a, 10, false}} {
		pushes, _, leftOut := batches(list(step.issuer, step.size), 10, 11)
		w.noteLeftOut(leftOut, pushes)
		if got := w.status().LastError; strings.Contains(got, a.CRLFileName(0)) != step.told {
			t.Errorf("after a list of %s with %d bytes: last error %q, want one that names the list of a: %t", step.issuer.Authority, step.size, got, step.told)
		}
	}
}
