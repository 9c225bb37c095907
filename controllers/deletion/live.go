package deletion

import (
	"context"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/responder"
)

// Authority says that the CA "kind/namespace/name" has certificates that may be valid.
func Authority(a *authority.Service, now func() time.Time, name string) InUse {
	return live(a, now, func(ca *authority.CA) bool { return ca.Key.Authority == name })
}

// ValidationService says that the service "namespace/name" answers for a CA
// whose certificates may be valid.
func ValidationService(a *authority.Service, now func() time.Time, name string) InUse {
	return live(a, now, func(ca *authority.CA) bool { return ca.Validation == name })
}

// Device says that the device "namespace/name" holds the key of a CA whose
// certificates may be valid, of the signer of its trust lists, or of the responder
// that answers for it.
func Device(a *authority.Service, r *responder.Service, now func() time.Time, name string) InUse {
	return live(a, now, func(ca *authority.CA) bool {
		if ca.Device == name || ca.TrustList != nil && ca.TrustList.Device == name {
			return true
		}
		for _, spec := range r.Specs() {
			if spec.Device == name && spec.ID() == ca.Validation {
				return true
			}
		}
		return false
	})
}

// live looks for an accepted CA that concerns the object, issued something,
// and is not past the end of its own certificate, which no certificate below
// it outlives. What was revoked counts too: its revocation stands on the CRL,
// and CRLs are signed, until then.
func live(a *authority.Service, now func() time.Time, concerns func(*authority.CA) bool) InUse {
	return func(ctx context.Context) (string, error) {
		for _, ca := range a.All() {
			if !concerns(ca) || !ca.Cert.NotAfter.After(now()) {
				continue
			}
			n, err := a.Count(ctx, ca.Key)
			if err != nil {
				return "", fmt.Errorf("count certificates of %s: %w", ca.Key.Authority, err)
			}
			if n > 0 {
				return fmt.Sprintf("%s delivered certificates that may be valid until %s, and its revocation lists are signed until then",
					ca.Key.Authority, ca.Cert.NotAfter.UTC().Format(time.RFC3339)), nil
			}
		}
		return "", nil
	}
}
