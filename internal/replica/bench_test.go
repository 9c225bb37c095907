package replica_test

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/replica/replicatest"
)

// BenchmarkPush measures pushes of 1000 new serials over a real link: JSON, two
// SM2 signatures, TLS, and a commit that is synced.
func BenchmarkPush(b *testing.B) {
	a := newEnd(b, "val-a")
	remote, err := replica.NewRemote(a.client)
	if err != nil {
		b.Fatal(err)
	}
	var at int64
	for b.Loop() {
		p := replica.Push{After: at, Next: at + replica.MaxChanges, Head: at + replica.MaxChanges}
		for i := range int64(replica.MaxChanges) {
			sum := sha256.Sum256([]byte(fmt.Sprint(at + i))) // in no order, as the CA draws them
			p.Changes = append(p.Changes, replicatest.Good(at+i+1, pki.Serial(fmt.Sprintf("01%X", sum[:19]))))
		}
		answer, err := remote.Push(b.Context(), p)
		if err != nil || answer.Position != p.Next {
			b.Fatalf("position %d, %v", answer.Position, err)
		}
		at = p.Next
	}
	b.ReportMetric(float64(b.N)*replica.MaxChanges/b.Elapsed().Seconds(), "serials/s")
}
