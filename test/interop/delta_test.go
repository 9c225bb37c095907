package interop

import (
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/crl"
	"github.com/terrace-pki/terrace/internal/pki"
)

// delta makes a delta CRL of number 9 over the list of number 7, as Terrace makes
// them: it takes removed off again and adds revoked.
func delta(t *testing.T, issuer entity, removed, revoked entity) []byte {
	t.Helper()
	from := time.Now().Truncate(time.Second).Add(-time.Minute)
	entry := func(e entity, reason pki.Reason) crl.Entry {
		return crl.Entry{Serial: pki.SerialFromInt(e.cert.SerialNumber), At: from, Reason: reason}
	}
	der, err := crl.Sign(issuer.key, crl.Template{Issuer: issuer.cert, Number: 9, Base: 7, ThisUpdate: from, NextUpdate: from.Add(2 * time.Hour),
		DistributionPoint: "http://pki.example/crl/ca-s0.crl", Entries: []crl.Entry{entry(removed, pki.ReasonRemoveFromCRL), entry(revoked, pki.ReasonKeyCompromise)}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}
