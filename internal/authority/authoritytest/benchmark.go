package authoritytest

import (
	"fmt"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
)

// BenchmarkCycle measures the store's part of the issuance cycle (Begin,
// RecordIntent, RecordIssued), for each certificate, in slices of 1 and of
// [authority.MaxSlice]. TBS and certificate have 800 bytes.
func BenchmarkCycle(b *testing.B, open func(b *testing.B) authority.Store) {
	content := make([]byte, 800)
	for _, size := range []int{1, authority.MaxSlice} {
		b.Run(fmt.Sprintf("slice=%d", size), func(b *testing.B) {
			s := open(b)
			ctx := b.Context()
			in, is := make([]authority.Intent, size), make([]authority.Issued, size)
			b.ReportAllocs()
			made := 0
			for b.Loop() {
				// An operation is one certificate: only every size-th starts a slice.
				if made++; made%size != 0 {
					continue
				}
				begun, err := s.Begin(ctx, issuer, 1, identities(fmt.Sprintf("bench-%d", made), size))
				if err != nil {
					b.Fatal(err)
				}
				for i, g := range begun {
					in[i] = authority.Intent{Serial: g.Serial, TBS: content, NotAfter: expiry}
					is[i] = authority.Issued{Serial: g.Serial, Certificate: content}
				}
				if err := s.RecordIntent(ctx, issuer, in); err != nil {
					b.Fatal(err)
				}
				if err := s.RecordIssued(ctx, issuer, is); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
