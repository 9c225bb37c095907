package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
)

var insertNodes = bulk{
	before:  `INSERT INTO audit_nodes (level, number, hash) `,
	columns: []string{"BIGINT", "BIGINT", "BYTES"},
}

// AuditLeaves returns the leaves after a number; see [authority.AuditTrail].
func (s *Store) AuditLeaves(ctx context.Context, after int64, limit int) ([]audit.Leaf, error) {
	all, err := leaves(ctx, s.c.Reader, audit.Query{After: after, Limit: limit})
	return all, s.failed("read audit leaves", err)
}

// AuditSize returns the number of leaves in the tree.
func (s *Store) AuditSize(ctx context.Context) (size int64, err error) {
	err = s.c.Reader.QueryRowContext(ctx, `SELECT COALESCE(MAX(number) + 1, 0) FROM audit_nodes WHERE level = 0`).Scan(&size)
	return size, s.failed("read size of audit tree", err)
}

// AuditNodes returns nodes of a level; see [authority.AuditTrail].
func (s *Store) AuditNodes(ctx context.Context, level int, from, to int64) (map[int64]audit.Hash, error) {
	nodes, err := readNodes(ctx, s.c.Reader, level, from, to)
	return nodes, s.failed("read audit tree", err)
}

func readNodes(ctx context.Context, q rowsQuerier, level int, from, to int64) (map[int64]audit.Hash, error) {
	rows, err := q.QueryContext(ctx, `SELECT number, hash FROM audit_nodes WHERE level = $1 AND number >= $2 AND number < $3`, level, from, to)
	if err != nil {
		return nil, err
	}
	nodes := map[int64]audit.Hash{}
	err = scanEach(rows, func(rows *sql.Rows) error {
		var number int64
		var hash []byte
		err := rows.Scan(&number, &hash)
		nodes[number] = hashOf(hash)
		return err
	})
	return nodes, err
}

// hashOf is a column of 32 octets, by the schema.
func hashOf(b []byte) (h audit.Hash) {
	copy(h[:], b)
	return h
}

// ExtendAudit adds nodes and a checkpoint; see [authority.AuditTrail]. Die before
// the commit, and the next process hashes the same leaves; die after it, and it goes on from there.
func (s *Store) ExtendAudit(ctx context.Context, nodes []audit.Node, checkpoint *audit.Signed) error {
	return s.fenced(ctx, "extend audit tree", func(ctx context.Context, tx *sql.Tx) error {
		_, err := s.exec(ctx, tx, &insertNodes, len(nodes), func(args []any, i int) []any {
			return append(args, int64(nodes[i].Level), nodes[i].Number, nodes[i].Hash[:])
		})
		if err != nil || checkpoint == nil {
			return err
		}
		hour := checkpoint.At.Truncate(time.Hour).UnixMicro()
		if _, err := tx.ExecContext(ctx, `DELETE FROM audit_checkpoints WHERE size <= $1 AND at >= $2`, checkpoint.Size, hour); err != nil {
			return fmt.Errorf("replace checkpoint: %w", err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO audit_checkpoints (size, at, text) VALUES ($1, $2, $3)
			ON CONFLICT (size) DO UPDATE SET at = excluded.at, text = excluded.text`, checkpoint.Size, checkpoint.At.UnixMicro(), checkpoint.Text())
		if err != nil {
			return fmt.Errorf("write checkpoint: %w", err)
		}
		return nil
	})
}

// AuditCheckpoint returns the newest checkpoint, or [authority.ErrNotFound].
func (s *Store) AuditCheckpoint(ctx context.Context) (audit.Signed, error) {
	var text []byte
	err := s.c.Reader.QueryRowContext(ctx, `SELECT text FROM audit_checkpoints ORDER BY size DESC LIMIT 1`).Scan(&text)
	if notFound(err) {
		err = authority.ErrNotFound
	}
	var signed audit.Signed
	if err == nil {
		signed, err = audit.ParseSigned(text)
	}
	return signed, s.failed("read audit checkpoint", err)
}
