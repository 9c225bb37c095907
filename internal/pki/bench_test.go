package pki_test

import (
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
)

// BenchmarkRequest is what a desk does with one request. It reports x-raw: its
// time over that of the one verification that proves possession.
func BenchmarkRequest(b *testing.B) {
	key := newKey(b)
	subject, err := pki.ParseName("CN=张三,O=Ministry,C=CN")
	if err != nil {
		b.Fatal(err)
	}
	der, err := pki.CreateRequest(key, subject)
	if err != nil {
		b.Fatal(err)
	}
	message := der[:len(der)/2]
	sig, err := key.SignMessage(nil, message, nil)
	if err != nil {
		b.Fatal(err)
	}
	const rounds = 500
	start := time.Now()
	for range rounds {
		if !pki.VerifySignature(&key.PublicKey, message, sig) {
			b.Fatal("raw verification failed")
		}
	}
	raw := time.Since(start) / rounds

	b.ReportAllocs()
	for b.Loop() {
		r, err := pki.ParseRequestDER(der)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.VerifyPossession(); err != nil {
			b.Fatal(err)
		}
		if _, err := r.SM2PublicKey(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(raw), "x-raw")
}
