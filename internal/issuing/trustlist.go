package issuing

import (
	"context"
	"errors"
	"fmt"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/trustlist"
)

// trustListSigner is the certificate of the signer of an industry CA's current
// trust list. ErrNotFound when the CA has none.
func (d *Desk) trustListSigner(ctx context.Context, industryCA string) (authority.Record, error) {
	ca, err := d.authorities.Newest(industryCA)
	if err != nil {
		return authority.Record{}, err
	}
	key := ca.Key.TrustList()
	if key == (authority.IssuerKey{}) {
		return authority.Record{}, fmt.Errorf("%s makes no trust lists: %w", industryCA, authority.ErrNotFound)
	}
	current, err := d.authorities.CurrentCRL(ctx, key, int32(trustlist.FormCTL))
	if errors.Is(err, authority.ErrNotFound) {
		return authority.Record{}, fmt.Errorf("%s has no trust list: %w", industryCA, err)
	}
	if err != nil {
		return authority.Record{}, err
	}
	list, err := trustlist.Parse(current.DER)
	if err != nil {
		return authority.Record{}, err
	}
	return d.authorities.Status(ctx, ca.Key, pki.SerialFromInt(list.Signer.SerialNumber))
}
