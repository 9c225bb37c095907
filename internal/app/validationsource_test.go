package app

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/ocsp/ocsptest"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/replica/replicatest"
)

// TestPushShowsAtOnce: while many ask a node for serials, each response to a
// request that came after a push is of that push or a later one, and most come
// from the cache.
func TestPushShowsAtOnce(t *testing.T) {
	store := openReplica(t)
	now := time.Now()
	ca := ocsptest.NewCA(t, "a", now)
	ca.Key = ocsp.IssuerKey(replicatest.CA)
	shared, err := ocsp.NewShared(ocsp.SharedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	responder, err := ocsp.NewResponder(ocsp.Config{Source: replicaSource{store, func() replica.State { return replica.State{Filled: true, AsOf: now} }},
		Validity: time.Hour, Shared: shared})
	if err != nil {
		t.Fatal(err)
	}
	if err := responder.Replace([]*ocsp.Authority{ca.Authority(t)}); err != nil {
		t.Fatal(err)
	}
	const serials = 40
	var requests [serials][]byte
	push := replica.Push{Next: serials, Head: serials}
	for i := range serials {
		serial := replicatest.Serial(int64(i))
		requests[i] = ca.Request(t, ocsp.SM3, nil, serial)
		push.Changes = append(push.Changes, replicatest.Good(int64(i)+1, serial))
	}
	if _, err := store.Apply(t.Context(), push, now); err != nil {
		t.Fatal(err)
	}
	var revoked atomic.Int64 // serials below it are, at the node
	ctx, stop := context.WithCancel(t.Context())
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				i := n % serials
				must := int64(i) < revoked.Load()
				_, meta := responder.Respond(context.Background(), requests[i])
				if meta.Status != ocsp.Successful || must && meta.States[0] != ocsp.Revoked {
					t.Errorf("serial %d: %v, %v; revoked at the node: %t", i, meta.States, meta.Err, must)
					return
				}
			}
		})
	}
	for i := range int64(serials) {
		next := serials + i + 1
		if _, err := store.Apply(t.Context(), replica.Push{After: next - 1, Next: next, Head: next,
			Changes: []replica.Change{replicatest.Revoked(next, replicatest.Serial(i), pki.ReasonKeyCompromise)}}, now); err != nil {
			t.Error(err)
		}
		revoked.Store(i + 1)
	}
	stop()
	g.Wait()
	if u := shared.Usage(); u.Hits < u.Signed {
		t.Errorf("usage %+v: little came from the cache, the test shows nothing", u)
	}
}

// TestRefillChangesEverySerial: what a refill drops is in no push.
func TestRefillChangesEverySerial(t *testing.T) {
	store := openReplica(t)
	const never = pki.Serial("7F")
	apply := func(p replica.Push) {
		t.Helper()
		if _, err := store.Apply(t.Context(), p, replicatest.Now); err != nil {
			t.Fatal(err)
		}
	}
	version := func() uint64 {
		t.Helper()
		v, settled := store.changes.Version(never)
		if !settled {
			t.Fatal("not settled although nothing is under way")
		}
		return v
	}
	apply(replica.Push{Next: 1, Head: 1, Changes: []replica.Change{replicatest.Good(1, "01")}})
	before := version()
	apply(replica.Push{After: 1, Next: 1, Head: 1})
	if version() != before {
		t.Error("a push without changes changes a version")
	}
	apply(replica.Push{After: 1, Next: 1, Head: 1, Refill: true})
	during := version()
	apply(replica.Push{Next: 1, Head: 1, Changes: []replica.Change{replicatest.Good(1, "02")}})
	if after := version(); during == before || after == during {
		t.Errorf("versions %d, %d, %d: want another at the begin and at the end of a refill", before, during, after)
	}
	if _, err := store.Status(t.Context(), replicatest.CA, "01"); err == nil {
		t.Error("the refill did not drop the serial that the ledger does not have: the test shows nothing")
	}
}
