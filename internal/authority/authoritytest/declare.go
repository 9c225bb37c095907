package authoritytest

import (
	"context"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/nationalroot"
	"github.com/terrace-pki/terrace/internal/pki"
)

// DeclareCA does what the controllers do for a CA: its key in want.Device, a
// certificate from a national root in rootDir, and the accepted settings. Again
// with the same, it finds what is there. It fills Label and Certificate, and what
// else is zero with an hour's CRLs in one shard; it returns the CA's public key.
func DeclareCA(ctx context.Context, s *authority.Service, rootDir string, now time.Time, want authority.Settings) ([]byte, error) {
	owner := want.Key.Authority
	signer, key, err := s.EnsureKey(ctx, owner, want.Key.Generation, want.Device)
	if err != nil {
		return nil, err
	}
	name, err := pki.ParseName("CN=CA,O=Test,C=CN")
	if err != nil {
		return nil, err
	}
	csr, err := s.EnsureRequest(ctx, signer, owner, want.Key.Generation, name)
	if err != nil {
		return nil, err
	}
	root, err := nationalroot.Open(ctx, rootDir, now)
	if err != nil {
		return nil, err
	}
	certPEM, err := root.Certify(pki.EncodePEM("CERTIFICATE REQUEST", csr), now)
	if err != nil {
		return nil, err
	}
	cert, err := pki.ParseCertificatePEM(certPEM)
	if err != nil {
		return nil, fmt.Errorf("declare CA: %w", err)
	}
	want.Label, want.Certificate = key.Label, cert.Raw
	if want.CRLInterval == 0 {
		want.CRLInterval, want.CRLOverlap = time.Hour, time.Hour
	}
	want.Shards = max(want.Shards, 1)
	return key.PublicKey, s.Accept(ctx, want)
}
