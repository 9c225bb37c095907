package replica

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

// auditInterval is the least time between two checkpoints to one node: each
// costs the ledger the look-up of a proof.
const auditInterval = time.Second

// lookAudit looks, at most once a second, for a checkpoint that the node was not
// told yet. What fails is logged and comes with a later push: statuses do not wait for it.
func (w *worker) lookAudit(ctx context.Context) {
	if w.sender.c.Audit == nil || time.Since(w.auditAt) < auditInterval {
		return
	}
	w.auditAt, w.auditNext = time.Now(), nil
	a, err := w.sender.c.Audit(ctx, w.node.AuditSize)
	switch {
	case errors.Is(err, authority.ErrNotFound), ctx.Err() != nil:
	case err != nil:
		w.sender.c.Log.Error(err, "audit checkpoint is not pushed", "node", w.target.Name)
	case !bytes.Equal(a.Text, w.auditSent), w.node.AuditSize == 0: // a node that lost its file begins anew
		w.auditNext = a
	}
}

// addAudit adds what lookAudit found to a push that may carry it.
func (w *worker) addAudit(p *Push) {
	if p.CRL == nil && !p.Refill {
		p.Audit, w.auditNext = w.auditNext, nil
	}
}

// noteAudit logs once that a node refuses the checkpoint of this ledger.
func (w *worker) noteAudit() {
	if why := w.node.AuditRefused; why != w.auditRefused {
		w.auditRefused = why
		if why != "" {
			w.sender.c.Log.Error(errors.New(why), "validation node refuses the audit checkpoint of this ledger; see docs/runbooks/audit-verify-fails.md", "node", w.target.Name)
		}
	}
}
