package linktest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/link/linktest"
)

// BenchmarkCall compares a call over TLS with the SM2 arithmetic in it: two
// signatures, two verifications.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		body := make([]byte, size)
		b.Run(fmt.Sprintf("link/%dKiB", size>>10), func(b *testing.B) {
			p := linktest.New(b, linktest.Options{Register: echo, Log: logr.Discard()})
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := p.Client.Call(context.Background(), "Echo", body); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("sm2/%dKiB", size>>10), func(b *testing.B) {
			key, err := sm2.GenerateKey(rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			for b.Loop() {
				for range 2 {
					sig, err := key.SignMessage(rand.Reader, body, sm2.DefaultSM2SignerOpts)
					if err != nil || !sm2.VerifyASN1WithSM2(key.Public().(*ecdsa.PublicKey), nil, body, sig) {
						b.Fatal("signature does not verify")
					}
				}
			}
		})
	}
}
