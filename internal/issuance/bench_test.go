package issuance_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
)

// BenchmarkPrepareIssue reports x-raw: the time of one certificate over that of
// one SM2 signature and its verification, below which no issuance can come.
func BenchmarkPrepareIssue(b *testing.B) {
	_, caCert, caKey := chain(b)
	o := subscriberOrder(b, caCert, &newKey(b).PublicKey)
	var preparer issuance.Preparer
	token, err := preparer.Prepare(o)
	if err != nil {
		b.Fatal(err)
	}
	tbs := token.TBS()
	const rounds = 200
	start := time.Now()
	for range rounds {
		sig, err := caKey.SignMessage(rand.Reader, tbs, sm2.DefaultSM2SignerOpts)
		if err != nil || !pki.VerifySignature(&caKey.PublicKey, tbs, sig) {
			b.Fatal("raw signature failed")
		}
	}
	raw := time.Since(start) / rounds

	b.ReportAllocs()
	for b.Loop() {
		token, err := preparer.Prepare(o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := issuance.Issue(caKey, token); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(raw), "x-raw")
}

// TestAllocations bounds the garbage of one certificate. Some 70 allocations are
// those of one SM2 signature and its verification.
func TestAllocations(t *testing.T) {
	_, caCert, caKey := chain(t)
	o := subscriberOrder(t, caCert, &newKey(t).PublicKey)
	var preparer issuance.Preparer
	got := testing.AllocsPerRun(100, func() {
		token, err := preparer.Prepare(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := issuance.Issue(caKey, token); err != nil {
			t.Fatal(err)
		}
	})
	if got > 120 {
		t.Errorf("%v allocations for a certificate, want at most 120", got)
	}
}
