package ocsptest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Serials are one serial of an issuer for each state that a source tells apart.
type Serials struct {
	Issued, Reserved, Intended, Abandoned, Never pki.Serial
	// Revoked was revoked at RevokedAt for key compromise.
	Revoked   pki.Serial
	RevokedAt time.Time
}

// TestSource checks that a source keeps the contract of ocsp.Source. other is
// an issuer that used none of the serials.
func TestSource(t *testing.T, source ocsp.Source, issuer, other ocsp.IssuerKey, s Serials) {
	revoked := ocsp.Status{State: ocsp.Revoked, RevokedAt: s.RevokedAt.UTC(), Reason: pki.ReasonKeyCompromise}
	for name, test := range map[string]struct {
		serial pki.Serial
		want   ocsp.Status
	}{
		"issued":   {s.Issued, ocsp.Status{State: ocsp.Good}},
		"revoked":  {s.Revoked, revoked},
		"reserved": {s.Reserved, ocsp.Status{}},
		"intended": {s.Intended, ocsp.Status{}},
		"never":    {s.Never, ocsp.Status{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := source.Status(t.Context(), issuer, test.serial)
			if err != nil {
				t.Fatal(err)
			}
			got.RevokedAt = got.RevokedAt.UTC()
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if got, err := source.Status(t.Context(), other, test.serial); err != nil || got.State != ocsp.Unknown {
				t.Errorf("under another issuer: %v, %v; want unknown", got, err)
			}
		})
	}
	t.Run("abandoned", func(t *testing.T) {
		got, err := source.Status(t.Context(), issuer, s.Abandoned)
		if err != nil || got.State != ocsp.Revoked || got.Reason != pki.ReasonCessationOfOperation || got.RevokedAt.IsZero() {
			t.Errorf("status is %+v, %v; want revoked for cessationOfOperation at the time of abandonment", got, err)
		}
	})
}
