package authority_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/authority"
)

// BenchmarkIssue takes slices through the whole cycle on SQLite with a
// software key. sm2/op is the cost of one raw SM2 signature and verification in
// the same run; x-sm2 is the cycle's cost for one certificate over it.
func BenchmarkIssue(b *testing.B) {
	for _, slice := range []int{1, authority.MaxSlice} {
		b.Run(fmt.Sprintf("slice=%d", slice), func(b *testing.B) {
			s, key, _ := newAuthority(b)
			raw := rawSM2(b)
			b.ReportAllocs()
			issued := 0
			for b.Loop() {
				orders := make([]authority.Order, slice)
				for i := range orders {
					orders[i] = order(b, issued)
					issued++
				}
				out, err := s.Issue(context.Background(), key, orders)
				if err != nil {
					b.Fatal(err)
				}
				for _, o := range out {
					if o.Err != nil {
						b.Fatal(o.Err)
					}
				}
			}
			perCertificate := b.Elapsed() / time.Duration(issued)
			b.ReportMetric(float64(perCertificate.Nanoseconds()), "ns/certificate")
			b.ReportMetric(float64(perCertificate)/float64(raw), "x-sm2")
		})
	}
}

// rawSM2 is the time of one signature and one verification.
func rawSM2(b *testing.B) time.Duration {
	b.Helper()
	k, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	const n = 500
	message := make([]byte, 512)
	start := time.Now()
	for range n {
		sig, err := k.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts)
		if err != nil || !sm2.VerifyASN1WithSM2(&k.PublicKey, nil, message, sig) {
			b.Fatal("raw SM2: ", err)
		}
	}
	return time.Since(start) / n
}
