package replicastore

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/replica/replicatest"
)

// scattered is a serial as the CA draws them: in no order.
func scattered(n int64) pki.Serial {
	sum := sha256.Sum256([]byte(fmt.Sprint(n)))
	return pki.Serial(fmt.Sprintf("01%X", sum[:19]))
}

func fill(b *testing.B, s *Store, from, serials int64) int64 {
	b.Helper()
	for end := from + serials; from < end; {
		p := replica.Push{After: from, Next: from + replica.MaxChanges, Head: end}
		for i := range int64(replica.MaxChanges) {
			p.Changes = append(p.Changes, replicatest.Good(from+i+1, scattered(from+i+1)))
		}
		if _, err := s.Apply(b.Context(), p, replicatest.Now); err != nil {
			b.Fatal(err)
		}
		from = p.Next
	}
	return from
}

// BenchmarkApply measures one push of 1000 new serials into a replica of 200,000.
func BenchmarkApply(b *testing.B) {
	s := openFor(b, filepath.Join(b.TempDir(), "replica.db"))
	at := fill(b, s, 0, 200_000)
	b.ResetTimer()
	for b.Loop() {
		at = fill(b, s, at, replica.MaxChanges)
	}
	b.ReportMetric(float64(b.N)*replica.MaxChanges/b.Elapsed().Seconds(), "serials/s")
}

// BenchmarkStatus measures the look-up of one serial among 200,000.
func BenchmarkStatus(b *testing.B) {
	s := openFor(b, filepath.Join(b.TempDir(), "replica.db"))
	end := fill(b, s, 0, 200_000)
	var n int64
	b.ResetTimer()
	for b.Loop() {
		n = (n + 7919) % end
		if _, err := s.Status(b.Context(), replicatest.CA, scattered(n+1)); err != nil {
			b.Fatal(err)
		}
	}
}
