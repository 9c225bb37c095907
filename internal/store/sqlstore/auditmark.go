package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/terrace-pki/terrace/internal/audit"
)

// Mark records that an auditor marked leaves as audited, with a leaf of its own,
// and returns the leaf's number. It needs no takeover and fences nobody off: the row
// of the numbers orders it among the acts of the process that issues, whose work it does not touch.
func (s *Store) Mark(ctx context.Context, m audit.Mark) (seq int64, err error) {
	const operation = "mark as audited"
	if err := m.Check(nil); err != nil {
		return 0, s.failed(operation, err)
	}
	// Die before the commit: nothing is marked. Die after: a second mark says the same again.
	err = s.tx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := s.tell(ctx, tx, s.now(), []leaf{markLeaf(m)}); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT audit FROM heads WHERE one = 1`).Scan(&seq); err != nil {
			return fmt.Errorf("read number of leaf: %w", err)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO audit_marks (seq, auditor, first, last, tree, size, root, at, note, public_key, signature)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			seq, m.Auditor, m.From, m.To, m.Tree[:], m.Size, m.Root[:], m.At.UnixMicro(), m.Note, m.PublicKey, m.Signature)
		return err
	})
	return seq, s.failed(operation, err)
}

func markLeaf(m audit.Mark) leaf {
	return leaf{actMark, fmt.Sprintf("audit/%d-%d", m.From, m.To), detail{audit.KeyOperator: m.Auditor,
		"size": strconv.FormatInt(m.Size, 10), "root": m.Root.String(), "mark": fingerprint(m.Message()), "signature": fingerprint(m.Signature)}}
}

func readMarks(ctx context.Context, q rowsQuerier, after int64, limit int) ([]audit.Mark, error) {
	rows, err := q.QueryContext(ctx, `SELECT seq, auditor, first, last, tree, size, root, at, note, public_key, signature FROM audit_marks
		WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, func(rows *sql.Rows) (m audit.Mark, err error) {
		var tree, root []byte
		var at sql.NullInt64
		err = rows.Scan(&m.Seq, &m.Auditor, &m.From, &m.To, &tree, &m.Size, &root, &at, &m.Note, &m.PublicKey, &m.Signature)
		m.Tree, m.Root, m.At = hashOf(tree), hashOf(root), fromMicros(at)
		return m, err
	})
}
