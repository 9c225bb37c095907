package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/terrace-pki/terrace/internal/pki"
)

// marks checks what auditors signed.
func (v *verification) marks(ctx context.Context) error {
	for after := int64(0); ; {
		page, err := v.ledger.Marks(ctx, after, MaxPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, m := range page {
			after = m.Seq
			v.report.Marks++
			what := fmt.Sprintf("mark of auditor %s in leaf %d", m.Auditor, m.Seq)
			if err := v.mark(m); errors.Is(err, ErrMark) {
				v.report.add(Finding{Leaf: m.Seq, What: what, Problem: err.Error()})
			} else if err != nil {
				return err
			}
		}
	}
}

func (v *verification) mark(m Mark) error {
	own, err := pki.ParseSM2SPKI(m.PublicKey)
	if err != nil {
		return fmt.Errorf("public key: %w: %w", err, ErrMark)
	}
	pub, err := v.o.People.Key(m.Auditor, own)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrMark)
	}
	if err := m.Check(pub); err != nil {
		return err
	}
	if m.Tree != v.tree || m.Size > v.edge.Size() {
		return fmt.Errorf("is over %d leaves of tree %s, which are not those of the ledger: %w", m.Size, m.Tree, ErrMark)
	}
	root, err := RootAt(m.Size, v.read)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrMark)
	}
	if root != m.Root {
		return fmt.Errorf("the auditor saw root %s over %d leaves, and the tree has %s: %w", m.Root, m.Size, root, ErrMark)
	}
	return nil
}
