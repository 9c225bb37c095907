package replicastore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/replica"
)

// Apply implements [replica.Store]. Die before the commit, and the sender goes
// on from the position before; die after it, and the node tells the new one.
func (s *Store) Apply(ctx context.Context, p replica.Push, at time.Time) (replica.State, error) {
	var state replica.State
	err := inTx(ctx, s.writer, func(tx *sql.Tx) (err error) {
		if state, err = readState(ctx, tx); err != nil {
			return err
		}
		if p.After > state.Position {
			return replica.ErrGap
		}
		w := &writer{tx: tx, issuers: map[authority.IssuerKey]int64{}}
		if err := tx.QueryRowContext(ctx, `SELECT fill FROM node`).Scan(&w.fill); err != nil {
			return err
		}
		if err := w.apply(ctx, p, &state); err != nil {
			return err
		}
		state.PushedAt, state.Head = at.Truncate(time.Microsecond).UTC(), p.Head
		switch {
		case p.Refill:
			if p.After == state.Position {
				w.fill++
				state.Position, state.Anchor, state.Ledger, state.Refilling = 0, nil, nil, true
			}
		case p.Next >= state.Position:
			state.Position, state.Anchor, state.Ledger = p.Next, p.Anchor, p.Ledger
		}
		if state.Position >= p.Head && !p.Refill {
			if state.Refilling {
				if err := w.sweep(ctx, &state); err != nil {
					return fmt.Errorf("drop what was not confirmed: %w", err)
				}
			}
			if !state.Refilling {
				state.Filled, state.AsOf = true, state.PushedAt
			}
		}
		return w.node(ctx, state)
	})
	switch {
	case errors.Is(err, replica.ErrGap):
		return state, fmt.Errorf("apply push after %d at position %d: %w", p.After, state.Position, replica.ErrGap)
	case err != nil:
		return replica.State{}, fmt.Errorf("apply push after %d: %w", p.After, err)
	}
	return state, nil
}

// writer writes one push.
type writer struct {
	tx      *sql.Tx
	issuers map[authority.IssuerKey]int64
	fill    int64 // see schema/0002_refill.sql
}

// node writes how far the replica has come.
func (w *writer) node(ctx context.Context, s replica.State) error {
	var asOf any
	if !s.AsOf.IsZero() {
		asOf = s.AsOf.UnixMicro()
	}
	_, err := w.tx.ExecContext(ctx, `UPDATE node SET position = ?, head = ?, anchor = ?, ledger = ?, serials = ?, filled = ?, fill = ?, refilling = ?, pushed_at = ?, as_of = ?`,
		s.Position, s.Head, s.Anchor, s.Ledger, s.Serials, s.Filled, w.fill, s.Refilling, s.PushedAt.UnixMicro(), asOf)
	return err
}

func (w *writer) apply(ctx context.Context, p replica.Push, state *replica.State) error {
	if c := p.Config; c != nil && c.Revision > state.Revision {
		text, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("encode configuration: %w", err)
		}
		if _, err := w.tx.ExecContext(ctx, `UPDATE node SET revision = ?, digest = ?, config = ?`, c.Revision, c.Digest, text); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		state.Revision, state.Digest = c.Revision, c.Digest
	}
	if p.CRL != nil {
		if err := w.crl(ctx, *p.CRL); err != nil {
			return fmt.Errorf("write CRL %s: %w", p.CRL.Issuer.CRLFileName(p.CRL.Shard), err)
		}
	}
	if p.Audit != nil {
		if err := w.audit(ctx, *p.Audit); err != nil {
			return fmt.Errorf("write audit checkpoint: %w", err)
		}
	}
	return w.statuses(ctx, p.Changes, state)
}

func (w *writer) statuses(ctx context.Context, changes []replica.Change, state *replica.State) error {
	if len(changes) == 0 || changes[len(changes)-1].Seq <= state.Position {
		return nil
	}
	// Most rows are new; the two statements tell new ones for the count.
	insert, err := w.tx.PrepareContext(ctx, `INSERT INTO statuses (not_after, revoked_at, reason, fill, issuer, serial) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }() // the transaction decides
	for _, c := range changes {
		if c.Seq <= state.Position {
			continue // it is held, and may be newer than this
		}
		args, err := w.row(ctx, c.Status)
		if err != nil {
			return err
		}
		res, err := insert.ExecContext(ctx, args...)
		if err != nil {
			return fmt.Errorf("write status of serial %s: %w", c.Serial, err)
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 1 {
			state.Serials++
			continue
		}
		if _, err := w.tx.ExecContext(ctx, `UPDATE statuses SET not_after = ?, revoked_at = ?, reason = ?, fill = ? WHERE issuer = ? AND serial = ?`, args...); err != nil {
			return fmt.Errorf("write status of serial %s: %w", c.Serial, err)
		}
	}
	return nil
}

func (w *writer) row(ctx context.Context, s replica.Status) ([]any, error) {
	serial, err := replica.SerialBytes(s.Serial)
	if err != nil {
		return nil, err
	}
	issuer, err := w.issuer(ctx, s.Issuer)
	if err != nil {
		return nil, err
	}
	var revokedAt, reason any
	if s.Revocation != nil {
		revokedAt, reason = s.Revocation.At.UnixMicro(), int(s.Revocation.Reason)
	}
	return []any{s.NotAfter.Unix(), revokedAt, reason, w.fill, issuer, serial}, nil
}

// issuer returns the row of an issuer and makes it when it is new.
func (w *writer) issuer(ctx context.Context, k authority.IssuerKey) (int64, error) {
	if id, ok := w.issuers[k]; ok {
		return id, nil
	}
	var id int64
	err := w.tx.QueryRowContext(ctx, `INSERT INTO issuers (authority, generation) VALUES (?, ?)
		ON CONFLICT (authority, generation) DO UPDATE SET generation = excluded.generation RETURNING id`, k.Authority, k.Generation).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("write issuer %s: %w", k.Authority, err)
	}
	w.issuers[k] = id
	return id, nil
}

// crl keeps a list in place of one of its kind with a lower number, and of one from before
// the refill whatever its number: a restored ledger counts on from an older one.
func (w *writer) crl(ctx context.Context, c authority.CRL) error {
	issuer, err := w.issuer(ctx, c.Issuer)
	if err != nil {
		return err
	}
	if c.IsDelta() {
		_, err = w.tx.ExecContext(ctx, `INSERT INTO delta_crls (issuer, shard, number, base, this_update, next_update, der, fill) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (issuer, shard) DO UPDATE SET number = excluded.number, base = excluded.base, this_update = excluded.this_update,
			next_update = excluded.next_update, der = excluded.der, fill = excluded.fill WHERE excluded.number > delta_crls.number OR excluded.fill > delta_crls.fill`,
			issuer, c.Shard, c.Number, c.Base, c.ThisUpdate.Unix(), c.NextUpdate.Unix(), c.DER, w.fill)
		return err
	}
	_, err = w.tx.ExecContext(ctx, `INSERT INTO crls (issuer, shard, number, this_update, next_update, der, fill) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (issuer, shard) DO UPDATE SET number = excluded.number, this_update = excluded.this_update,
		next_update = excluded.next_update, der = excluded.der, fill = excluded.fill WHERE excluded.number > crls.number OR excluded.fill > crls.fill`,
		issuer, c.Shard, c.Number, c.ThisUpdate.Unix(), c.NextUpdate.Unix(), c.DER, w.fill)
	return err
}
