package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
)

// refillInterval is the least time between two refills of a node: each costs a
// reading of the whole ledger.
const refillInterval = 10 * time.Minute

// errAhead stops a node from being told half of another ledger.
var errAhead = errors.New("the node is ahead of the ledger, or was fed from another one. If the ledger is the right one, " +
	"stop the node, remove its replica file and start it: it is filled anew")

// compare says how a node's replica stands to the ledger: head is the ledger's,
// and restored says that the ledger was restored from an older backup since, so
// that the replica is to be filled anew. What the ledger and the node have at the
// same number differs then, whether the ledger has passed the node's position
// again or not. The replica of an earlier release cannot tell, and is filled anew once.
// The replica of another ledger is left alone (errAhead): it may be the ledger that is
// the wrong one.
func (s *Sender) compare(ctx context.Context, node State) (head int64, restored bool, err error) {
	head, err = s.c.Feed.Head(ctx)
	if err != nil {
		return 0, false, fmt.Errorf("read head of changes: %w", err)
	}
	if node.Position == 0 {
		return head, false, nil
	}
	ahead := fmt.Errorf("position %d, head %d: %w", node.Position, head, errAhead)
	if len(node.Anchor) == 0 {
		if node.Position > head {
			return head, false, ahead
		}
		return head, true, nil
	}
	first, err := s.anchor(ctx, 1)
	if err != nil {
		return head, false, err
	}
	if !bytes.Equal(first, node.Ledger) {
		return head, false, ahead
	}
	own, err := s.anchor(ctx, node.Position)
	return head, err == nil && !bytes.Equal(own, node.Anchor), err
}

// anchor of a number, empty when the ledger does not have it.
func (s *Sender) anchor(ctx context.Context, seq int64) ([]byte, error) {
	anchor, err := s.c.Feed.Anchor(ctx, seq)
	if errors.Is(err, authority.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read anchor of change %d: %w", seq, err)
	}
	return anchor, nil
}

// refill has the node begin at 0 again. It serves what it holds meanwhile.
func (w *worker) refill(ctx context.Context, head int64) error {
	position := w.node.Position
	if since := time.Since(w.refilledAt); !w.refilledAt.IsZero() && since < refillInterval {
		return fmt.Errorf("position %d, head %d, filled anew %s ago and to be filled anew again: %w", position, head, since.Truncate(time.Second), errAhead)
	}
	if _, err := w.push(ctx, Push{After: position, Next: position, Head: head, Refill: true}); err != nil {
		return err
	}
	if w.node.Position != 0 || !w.node.Refilling {
		return fmt.Errorf("fill anew: the node stays at position %d: %w", w.node.Position, errAhead)
	}
	w.refilledAt = time.Now()
	w.sender.c.Metrics.refills.WithLabelValues(w.target.Name).Inc()
	w.sender.c.Log.Info("validation node is filled anew: the ledger was restored from an older backup, or the replica is of an earlier release",
		"node", w.target.Name, "position", position, "head", head)
	return nil
}

// beat pushes nothing but the head to a node that holds everything: it learns that
// its statuses are right now. While it refills, each beat has it drop some more of what
// no push has confirmed.
func (w *worker) beat(ctx context.Context, head int64) error {
	at, held := w.node.Position, w.node.Serials
	if _, err := w.push(ctx, Push{After: at, Next: at, Head: max(head, at)}); err != nil {
		return err
	}
	if w.node.Refilling && w.node.Serials >= held {
		return fmt.Errorf("fill anew: the node at position %d does not come to an end: %w", at, errAhead)
	}
	return nil
}
