package app

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/ocsp/ocsptest"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/replica/replicatest"
	"github.com/terrace-pki/terrace/internal/store/replicastore"
)

func openReplica(t *testing.T) watchedReplica {
	t.Helper()
	store, err := replicastore.Open(t.Context(), filepath.Join(t.TempDir(), "replica.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return watchReplica(store)
}

func TestReplicaSource(t *testing.T) {
	store := openReplica(t)
	// What is reserved or intended is in no feed.
	serials := ocsptest.Serials{Issued: "01", Revoked: "02", RevokedAt: replicatest.Now, Abandoned: "03", Reserved: "04", Intended: "05", Never: "06"}
	if _, err := store.Apply(t.Context(), replica.Push{Next: 3, Head: 3, Changes: []replica.Change{replicatest.Good(1, serials.Issued),
		replicatest.Revoked(2, serials.Revoked, pki.ReasonKeyCompromise), replicatest.Revoked(3, serials.Abandoned, pki.ReasonCessationOfOperation)}}, replicatest.Now); err != nil {
		t.Fatal(err)
	}
	issuer := ocsp.IssuerKey(replicatest.CA)
	other := issuer
	other.Generation = 2
	known := replica.State{Filled: true, AsOf: replicatest.Now}
	source := replicaSource{store, func() replica.State { return known }}
	ocsptest.TestSource(t, source, issuer, other, serials)

	if got, err := source.AsOf(replicatest.Now.Add(time.Hour)); err != nil || !got.Equal(replicatest.Now) {
		t.Errorf("as of %s, %v, want when the replica held everything", got, err)
	}
	known.Refilling = true
	if _, err := source.Status(t.Context(), issuer, serials.Never); !errors.Is(err, errFilling) {
		t.Errorf("a serial that is not held, while the replica is filled anew: %v, want errFilling", err)
	}
	known = replica.State{}
	if _, err := source.Status(t.Context(), issuer, serials.Never); !errors.Is(err, errFilling) {
		t.Errorf("a serial that is not held, while the replica is being filled: %v, want errFilling", err)
	}
	if _, err := source.AsOf(replicatest.Now); !errors.Is(err, errFilling) {
		t.Errorf("as of, while the replica is being filled: %v, want errFilling", err)
	}
	if got, err := source.Status(t.Context(), issuer, serials.Revoked); err != nil || got.State != ocsp.Revoked {
		t.Errorf("one that is held: %v, %v, want revoked", got, err)
	}
}
