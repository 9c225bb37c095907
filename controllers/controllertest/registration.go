package controllertest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/terrace-pki/terrace/internal/issuing"
	"github.com/terrace-pki/terrace/internal/registration"
)

// Issuer is the tier's CAs as an RA in the same process knows them.
func (tier *Tier) Issuer() registration.Issuer { return issuing.NewDesk(tier.Authorities) }

// Registration opens the RA's database of the tier until the test ends; opened
// again it is what a new process would find.
func (tier *Tier) Registration(t testing.TB, open func(ctx context.Context, path string) (registration.Store, error)) registration.Store {
	t.Helper()
	store, err := open(t.Context(), filepath.Join(filepath.Dir(tier.ledger), "registration.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // a second Close is harmless
	return store
}
