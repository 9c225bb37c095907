package ocsp_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/ocsp/ocsptest"
)

func writeTemp(t testing.TB, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "der")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// BenchmarkRespond measures signed and cached responses, and reports the time
// of the former as a multiple of one bare SM2 signature in the same run.
func BenchmarkRespond(b *testing.B) {
	w := newWorldOn(b, &ocsptest.Source{Changes: ocsp.NewChanges()}, ocsp.SharedConfig{})
	b.Run("signed", func(b *testing.B) {
		request := w.ca.Request(b, ocsp.SHA1, make([]byte, 16), issued)
		raw := signOnce(b, w.ca.ResponderKey)
		b.ReportAllocs()
		for b.Loop() {
			if _, meta := w.responder.Respond(b.Context(), request); meta.Status != ocsp.Successful {
				b.Fatal(meta.Err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(raw.Nanoseconds()), "x-sm2-sign")
	})
	b.Run("cached", func(b *testing.B) {
		request := w.ca.Request(b, ocsp.SHA1, nil, issued)
		b.ReportAllocs()
		for b.Loop() {
			if _, meta := w.responder.Respond(b.Context(), request); meta.Status != ocsp.Successful {
				b.Fatal(meta.Err)
			}
		}
	})
}

// signOnce is the mean time of one SM2 signature over as many bytes as a response has.
func signOnce(b *testing.B, key *sm2.PrivateKey) time.Duration {
	b.Helper()
	const n = 500
	message := make([]byte, 192)
	begin := time.Now()
	for range n {
		if _, err := key.SignMessage(rand.Reader, message, sm2.DefaultSM2SignerOpts); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begin) / n
}
