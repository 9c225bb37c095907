package authority

import (
	"context"

	"github.com/terrace-pki/terrace/internal/audit"
)

// AuditTrail is the tree over the leaves that acts wrote. The leaves are there
// with the acts; tree and checkpoints follow.
type AuditTrail interface {
	// AuditLeaves returns leaves with numbers above after, in order, limit (1 to
	// audit.MaxPage) at most.
	AuditLeaves(ctx context.Context, after int64, limit int) ([]audit.Leaf, error)
	// AuditSize returns the number of leaves that the tree is over.
	AuditSize(ctx context.Context) (int64, error)
	// AuditNodes returns the nodes of a level with numbers in [from, to).
	AuditNodes(ctx context.Context, level int, from, to int64) (map[int64]audit.Hash, error)
	// ExtendAudit adds nodes and, unless it is nil, a checkpoint, all or none. A
	// checkpoint takes the place of an earlier one of its hour. A node that is there already is an
	// error: two processes extend the tree. Fenced.
	ExtendAudit(ctx context.Context, nodes []audit.Node, checkpoint *audit.Signed) error
	// AuditCheckpoint returns the newest checkpoint, or ErrNotFound.
	AuditCheckpoint(ctx context.Context) (audit.Signed, error)
}
