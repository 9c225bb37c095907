package replicastore

import (
	"context"

	"github.com/terrace-pki/terrace/internal/replica"
)

// maxSweep is how many statuses one push drops: it must be done within the time
// that a push may take.
var maxSweep int64 = 100_000

// sweep drops statuses and lists that no push of this fill has confirmed: the
// ledger does not know them. With the last of them the refilling ends.
func (w *writer) sweep(ctx context.Context, state *replica.State) error {
	res, err := w.tx.ExecContext(ctx, `DELETE FROM statuses WHERE (issuer, serial) IN (SELECT issuer, serial FROM statuses WHERE fill <> ? LIMIT ?)`, w.fill, maxSweep)
	if err != nil {
		return err
	}
	dropped, err := res.RowsAffected()
	if err != nil {
		return err
	}
	state.Serials -= dropped
	if dropped == maxSweep {
		return nil // there may be more
	}
	for _, lists := range []string{"crls", "delta_crls"} {
		if _, err := w.tx.ExecContext(ctx, `DELETE FROM `+lists+` WHERE fill <> ?`, w.fill); err != nil {
			return err
		}
	}
	state.Refilling = false
	return nil
}
