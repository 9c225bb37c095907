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
	"github.com/terrace-pki/terrace/internal/authority/authoritytest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

var subscriber = func() *sm2.PrivateKey {
	k, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}()

func order(tb testing.TB, n int) authority.Order {
	tb.Helper()
	name, err := pki.ParseName(fmt.Sprintf("CN=Subscriber %d,O=Bench,C=CN", n))
	if err != nil {
		tb.Fatal(err)
	}
	id := fmt.Sprint(n)
	return authority.Order{
		Identity: authority.Identity{Kind: "CertificateRequest", Namespace: "bench", Name: id, Digest: sm3.Sum([]byte(id))},
		Profile:  pki.Profile{Name: "person", KeyUsage: pki.KeyUsagesSigning, Validity: 24 * time.Hour, Backdate: time.Minute},
		Subject:  name, PublicKey: &subscriber.PublicKey,
	}
}

// newAuthority returns a service with one CA, and the path of its ledger.
func newAuthority(tb testing.TB) (*authority.Service, authority.IssuerKey, string) {
	tb.Helper()
	return newAuthorityAt(tb, time.Now)
}

func newAuthorityAt(tb testing.TB, now func() time.Time) (*authority.Service, authority.IssuerKey, string) {
	tb.Helper()
	ctx, dir := context.Background(), tb.TempDir()
	path := filepath.Join(dir, "ledger.db")
	store, err := sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	keys, err := software.Open(software.Config{Dir: filepath.Join(dir, "keys"), Password: []byte("bench")})
	if err != nil {
		tb.Fatal(err)
	}
	devices := device.NewRegistry()
	if err := devices.Put("bench/device", keys); err != nil {
		tb.Fatal(err)
	}
	s := authority.New(authority.Config{Store: store, Keys: devices, Now: now})
	key := authority.IssuerKey{Authority: "IndustryCA/bench/ca", Generation: 1}
	if _, err := authoritytest.DeclareCA(ctx, s, filepath.Join(dir, "root"), time.Now(), authority.Settings{Key: key, Device: "bench/device"}); err != nil {
		tb.Fatal(err)
	}
	return s, key, path
}
