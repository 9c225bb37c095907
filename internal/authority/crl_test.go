package authority_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestCRLIsMadeEachIntervalAndNamesTheRevoked(t *testing.T) {
	var ahead atomic.Int64
	s, key, path := newAuthorityAt(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	ctx := context.Background()
	ensure := func(want bool) {
		t.Helper()
		if made, err := s.EnsureCRL(ctx, key, 0); err != nil || made != want {
			t.Fatalf("ensure CRL: made %t, %v, want %t", made, err, want)
		}
	}
	ensure(true)
	ensure(false)
	out, err := s.Issue(ctx, key, []authority.Order{order(t, 1)})
	if err != nil || out[0].Err != nil {
		t.Fatal(err, out[0].Err)
	}
	serial := out[0].Record.Serial
	if _, err := s.Perform(ctx, act("revoke", authority.VerbRevoke, out[0].Record)); err != nil {
		t.Fatal(err)
	}
	ensure(false) // by schedule, not by revocation
	ahead.Store(int64(time.Hour + time.Second))
	ensure(true)

	store, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	current, err := store.CurrentCRL(ctx, key, 0)
	if err != nil {
		t.Fatal(err)
	}
	list, err := smx509.ParseRevocationList(current.DER)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(list.RevokedCertificateEntries); n != 1 || pki.SerialFromInt(list.RevokedCertificateEntries[0].SerialNumber) != serial {
		t.Errorf("CRL has %d entries, want the revoked serial %s", n, serial)
	}
}
