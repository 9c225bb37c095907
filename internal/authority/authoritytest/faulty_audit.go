package authoritytest

import (
	"context"

	"github.com/terrace-pki/terrace/internal/audit"
)

// AuditLeaves may fail on demand.
func (f *Faulty) AuditLeaves(ctx context.Context, after int64, limit int) ([]audit.Leaf, error) {
	return answer(f, "AuditLeaves", func() ([]audit.Leaf, error) { return f.Store.AuditLeaves(ctx, after, limit) })
}

// AuditSize may fail on demand.
func (f *Faulty) AuditSize(ctx context.Context) (int64, error) {
	return answer(f, "AuditSize", func() (int64, error) { return f.Store.AuditSize(ctx) })
}

// AuditNodes may fail on demand.
func (f *Faulty) AuditNodes(ctx context.Context, level int, from, to int64) (map[int64]audit.Hash, error) {
	return answer(f, "AuditNodes", func() (map[int64]audit.Hash, error) { return f.Store.AuditNodes(ctx, level, from, to) })
}

// ExtendAudit may fail on demand.
func (f *Faulty) ExtendAudit(ctx context.Context, nodes []audit.Node, checkpoint *audit.Signed) error {
	return f.call("ExtendAudit", func() error { return f.Store.ExtendAudit(ctx, nodes, checkpoint) })
}

// AuditCheckpoint may fail on demand.
func (f *Faulty) AuditCheckpoint(ctx context.Context) (audit.Signed, error) {
	return answer(f, "AuditCheckpoint", func() (audit.Signed, error) { return f.Store.AuditCheckpoint(ctx) })
}
