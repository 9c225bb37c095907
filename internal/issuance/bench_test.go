package issuance_test

import (
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
	token, err := issuance.Prepare(o)
	if err != nil {
		b.Fatal(err)
	}
	tbs := token.TBS()
	const rounds = 200
	start := time.Now()
	for range rounds {
		sig, err := caKey.SignMessage(nil, tbs, sm2.DefaultSM2SignerOpts)
		if err != nil || !pki.VerifySignature(&caKey.PublicKey, tbs, sig) {
			b.Fatal("raw signature failed")
		}
	}
	raw := time.Since(start) / rounds

	b.ReportAllocs()
	for b.Loop() {
		token, err := issuance.Prepare(o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := issuance.Issue(caKey, token); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(raw), "x-raw")
}
