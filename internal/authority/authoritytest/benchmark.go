package authoritytest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// BenchmarkCycle measures the store's part of the issuance cycle (Begin,
// RecordIntent, RecordIssued), for each certificate, in slices of 1 and of
// [authority.MaxSlice]. TBS and certificate have 800 bytes.
func BenchmarkCycle(b *testing.B, open func(b *testing.B) authority.Store) {
	content, signed := benchContent()
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
					in[i] = authority.Intent{Identity: g.Identity, Serial: g.Serial, Attempt: g.Attempt, TBS: content, NotAfter: expiry}
					is[i] = authority.Issued{Serial: g.Serial, Certificate: signed}
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

// BenchmarkRecordIssued measures RecordIssued alone, for each certificate, in
// slices of [authority.MaxSlice].
func BenchmarkRecordIssued(b *testing.B, open func(b *testing.B) authority.Store) {
	content, signed := benchContent()
	s := open(b)
	in, is := make([]authority.Intent, authority.MaxSlice), make([]authority.Issued, authority.MaxSlice)
	made := 0
	for b.Loop() {
		if made++; made%authority.MaxSlice != 0 { // as in BenchmarkCycle
			continue
		}
		b.StopTimer()
		begun, err := s.Begin(b.Context(), issuer, 1, identities(fmt.Sprintf("bench-%d", made), authority.MaxSlice))
		if err != nil {
			b.Fatal(err)
		}
		for i, g := range begun {
			in[i] = authority.Intent{Identity: g.Identity, Serial: g.Serial, Attempt: g.Attempt, TBS: content, NotAfter: expiry}
			is[i] = authority.Issued{Serial: g.Serial, Certificate: signed}
		}
		if err := s.RecordIntent(b.Context(), issuer, in); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := s.RecordIssued(b.Context(), issuer, is); err != nil {
			b.Fatal(err)
		}
	}
}

// benchContent is a TBS of 800 bytes and a certificate over it.
func benchContent() (tbs, certificate []byte) {
	tbs = element(strings.Repeat("x", 796))
	return tbs, pki.JoinCertificate(tbs, element(strings.Repeat("y", 80)))
}

// fill issues slices of certificates of 800 bytes and returns their serials.
func fill(b *testing.B, s authority.Store, prefix string, slices int) (serials []pki.Serial) {
	b.Helper()
	content, signed := benchContent()
	for n := range slices {
		begun, err := s.Begin(b.Context(), issuer, 1, identities(fmt.Sprintf("%s-%d", prefix, n), authority.MaxSlice))
		if err != nil {
			b.Fatal(err)
		}
		in, is := make([]authority.Intent, len(begun)), make([]authority.Issued, len(begun))
		for i, g := range begun {
			in[i] = authority.Intent{Identity: g.Identity, Serial: g.Serial, Attempt: g.Attempt, TBS: content, NotAfter: expiry}
			is[i] = authority.Issued{Serial: g.Serial, Certificate: signed}
			serials = append(serials, g.Serial)
		}
		if err := errors.Join(s.RecordIntent(b.Context(), issuer, in), s.RecordIssued(b.Context(), issuer, is)); err != nil {
			b.Fatal(err)
		}
	}
	return serials
}

// BenchmarkPerform measures one hold or release, durable on return.
func BenchmarkPerform(b *testing.B, open func(b *testing.B) authority.Store) {
	s := open(b)
	serials := fill(b, s, "perform", 4)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		verb := authority.VerbHold
		if n/len(serials)%2 == 1 {
			verb = authority.VerbRelease
		}
		p, err := s.Perform(b.Context(), act(fmt.Sprint("bench-", n), verb, serials[n%len(serials)]))
		if err != nil || p.Refusal != "" {
			b.Fatal(err, p.Refusal)
		}
		n++
	}
}

// BenchmarkChanges measures reading one change with its certificate, in answers
// of [authority.MaxChanges].
func BenchmarkChanges(b *testing.B, open func(b *testing.B) authority.Store) {
	s := open(b)
	fill(b, s, "changes", 40)
	b.ReportAllocs()
	after, left := int64(0), 0
	for b.Loop() {
		if left--; left > 0 { // an operation is one change
			continue
		}
		changes, next, err := s.Changes(b.Context(), after, authority.MaxChanges)
		if err != nil {
			b.Fatal(err)
		}
		if after, left = next, len(changes); left == 0 {
			after = 0
		}
	}
}
