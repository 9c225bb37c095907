package authority_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/nationalroot"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// BenchmarkIssue takes slices through the whole cycle on SQLite with a
// software key. sm2/op is the cost of one raw SM2 signature and verification in
// the same run; x-sm2 is the cycle's cost for one certificate over it.
func BenchmarkIssue(b *testing.B) {
	for _, slice := range []int{1, authority.MaxSlice} {
		b.Run(fmt.Sprintf("slice=%d", slice), func(b *testing.B) {
			s, key := newAuthority(b)
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

var subscriber = func() *sm2.PrivateKey {
	k, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}()

func order(b *testing.B, n int) authority.Order {
	b.Helper()
	name, err := pki.ParseName(fmt.Sprintf("CN=Subscriber %d,O=Bench,C=CN", n))
	if err != nil {
		b.Fatal(err)
	}
	id := fmt.Sprint(n)
	return authority.Order{
		Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "bench", Name: id, Digest: sm3.Sum([]byte(id))},
		Profile:  pki.Profile{Name: "person", KeyUsage: pki.KeyUsagesSigning, Validity: 24 * time.Hour, Backdate: time.Minute},
		Subject:  name, PublicKey: &subscriber.PublicKey,
	}
}

func newAuthority(b *testing.B) (*authority.Service, authority.IssuerKey) {
	b.Helper()
	ctx, dir := context.Background(), b.TempDir()
	store, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "ledger.db"), TakeOver: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	keys, err := software.Open(software.Config{Dir: filepath.Join(dir, "keys"), Password: []byte("bench")})
	if err != nil {
		b.Fatal(err)
	}
	devices := device.NewRegistry()
	if err := devices.Put("bench/device", keys); err != nil {
		b.Fatal(err)
	}
	s := authority.New(authority.Config{Store: store, Keys: devices})
	key := authority.IssuerKey{Authority: "IndustryCA/bench/ca", Generation: 1}
	signer, k, err := s.EnsureKey(ctx, key.Authority, 1, "bench/device")
	if err != nil {
		b.Fatal(err)
	}
	root, err := nationalroot.Open(ctx, filepath.Join(dir, "root"), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	name, err := pki.ParseName("CN=Bench CA,C=CN")
	if err != nil {
		b.Fatal(err)
	}
	csr, err := pki.CreateRequest(signer, name)
	if err != nil {
		b.Fatal(err)
	}
	pem, err := root.Certify(pki.EncodePEM("CERTIFICATE REQUEST", csr), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	cert, err := pki.ParseCertificatePEM(pem)
	if err != nil {
		b.Fatal(err)
	}
	err = s.Accept(ctx, authority.Settings{Key: key, Device: "bench/device", Label: k.Label, Certificate: cert.Raw, CRLInterval: time.Hour, CRLOverlap: time.Hour, Shards: 1})
	if err != nil {
		b.Fatal(err)
	}
	return s, key
}
