package authority

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/audit"
)

const (
	// auditPause is the time between two looks at the leaves: a leaf is under a
	// checkpoint within a second, and a device signs two checkpoints a second at most.
	auditPause = 500 * time.Millisecond
	// auditFresh is how old the checkpoint of a ledger grows that nobody writes to.
	auditFresh = time.Hour
)

// auditOwner begins the owner of an audit key; the device's name follows, so that
// another device is another key, and the label is known before the ledger is there.
const auditOwner = "AuditLog/"

// AuditLog keeps the hash tree over the audit leaves and has its checkpoints signed.
type AuditLog struct {
	s      *Service
	device string
	log    logr.Logger

	loaded bool
	edge   audit.Edge
	tree   audit.Hash
	newest audit.Signed // zero: none
}

// NewAuditLog returns the audit log of a service's ledger. Its key is in the
// device "namespace/name", label terrace/AuditLog/namespace/name/g1; without a device the tree
// grows and nobody signs it.
func NewAuditLog(s *Service, device string, log logr.Logger) *AuditLog {
	return &AuditLog{s: s, device: device, log: log}
}

// Run works once this process leads, until ctx ends. Acts do not wait for it:
// what it has not come to is seen in terrace_audit_leaves_unsequenced.
func (a *AuditLog) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-a.s.Leads():
	}
	if a.device == "" {
		a.log.Info("no device signs the audit log's checkpoints: name one with --audit-device, or a cut tail is not seen")
	}
	failed := false
	for {
		err := a.Step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failed:
			a.log.Error(err, "the audit log is behind; trying on")
		case err == nil && failed:
			a.log.Info("the audit log goes on")
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(auditPause):
		}
	}
}

// Step takes all leaves in that are there, and signs a checkpoint over them. What
// is in the ledger alone counts: after an error it begins from there again.
func (a *AuditLog) Step(ctx context.Context) error {
	if err := a.step(ctx); err != nil {
		a.loaded = false // it may have been persisted all the same
		return fmt.Errorf("audit log: %w", a.s.seen(err))
	}
	return nil
}

func (a *AuditLog) step(ctx context.Context) error {
	if err := a.load(ctx); err != nil {
		return err
	}
	heads, err := a.s.store.Heads(ctx)
	if err != nil {
		return err
	}
	defer func() { a.s.metrics.auditBehind(max(heads.Audit-a.newest.Size, 0), a.newest.At) }()
	if heads.Audit < a.edge.Size() {
		return fmt.Errorf("the ledger has %d leaves, and %d are in the tree: its tail was cut; run terrace audit verify", heads.Audit, a.edge.Size())
	}
	var nodes []audit.Node // of the last page, which goes with the checkpoint in one commit
	for a.edge.Size() < heads.Audit {
		if err := a.keep(ctx, nodes, nil); err != nil {
			return err
		}
		if nodes, err = a.extend(ctx); err != nil {
			return err
		}
	}
	signed, signErr := a.sign(ctx)
	if err := a.keep(ctx, nodes, signed); err != nil { // the tree grows also while the device is away
		return errors.Join(signErr, err)
	}
	if signed != nil {
		a.newest = *signed
	}
	return signErr
}

// keep writes what there is. Die before it, and the next process hashes the same leaves.
func (a *AuditLog) keep(ctx context.Context, nodes []audit.Node, signed *audit.Signed) error {
	if len(nodes) == 0 && signed == nil {
		return nil
	}
	return a.s.store.ExtendAudit(ctx, nodes, signed)
}

// load takes up what the ledger keeps.
func (a *AuditLog) load(ctx context.Context) error {
	if a.loaded {
		return nil
	}
	size, err := a.s.store.AuditSize(ctx)
	if err != nil {
		return err
	}
	read := func(level int, from, to int64) (map[int64]audit.Hash, error) {
		return a.s.store.AuditNodes(ctx, level, from, to)
	}
	if a.edge, err = audit.ReadEdge(size, read); err != nil {
		return err
	}
	if size > 0 {
		first, err := read(0, 0, 1)
		if err != nil {
			return err
		}
		a.tree = first[0]
	}
	a.newest, err = a.s.store.AuditCheckpoint(ctx)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	a.loaded = true
	return nil
}

// extend takes in one page of leaves and returns the nodes that they complete.
func (a *AuditLog) extend(ctx context.Context) ([]audit.Node, error) {
	page, err := a.s.store.AuditLeaves(ctx, a.edge.Size(), audit.MaxPage)
	if err != nil {
		return nil, err
	}
	if len(page) == 0 || page[0].Seq != a.edge.Size()+1 {
		return nil, fmt.Errorf("leaf %d is missing, and numbers above it were given: run terrace audit verify", a.edge.Size()+1)
	}
	var nodes []audit.Node
	for _, l := range page {
		if l.Seq != a.edge.Size()+1 {
			break // the next page says what is missing
		}
		h := l.Hash()
		if l.Seq == 1 {
			a.tree = h
		}
		nodes = append(nodes, a.edge.Append(h)...)
	}
	return nodes, nil
}

// sign makes a checkpoint when there are leaves above the newest, or it grows old; else nil.
func (a *AuditLog) sign(ctx context.Context) (*audit.Signed, error) {
	now := a.s.Now()
	if a.device == "" || a.edge.Size() == 0 || a.edge.Size() == a.newest.Size && now.Sub(a.newest.At) < auditFresh {
		return nil, nil
	}
	signer, _, err := a.s.EnsureKey(ctx, auditOwner+a.device, 1, a.device)
	if err != nil {
		return nil, err
	}
	signed, err := audit.Sign(signer, audit.Checkpoint{Tree: a.tree, Size: a.edge.Size(), Root: a.edge.Root(), At: now})
	if err != nil {
		return nil, err
	}
	return &signed, nil
}

// Proof returns the newest checkpoint with the public key that signed it, DER, and
// the proof that the tree of from leaves (0: none) is its beginning. The proof is nil when the checkpoint is
// over no more leaves than that. ErrNotFound: there is no checkpoint by the present key.
func (a *AuditLog) Proof(ctx context.Context, from int64) (signed audit.Signed, spki []byte, proof []audit.Hash, err error) {
	store := a.s.store
	if signed, err = store.AuditCheckpoint(ctx); err != nil {
		return signed, nil, nil, fmt.Errorf("prove audit checkpoint: %w", err)
	}
	k, err := store.FindKey(ctx, auditOwner+a.device, 1)
	if err == nil && audit.KeyHash(signed.Tree, k.PublicKey) != signed.KeyHash {
		err = ErrNotFound
	}
	if err == nil && from < signed.Size {
		proof, err = audit.Consistency(from, signed.Size, func(level int, from, to int64) (map[int64]audit.Hash, error) {
			return store.AuditNodes(ctx, level, from, to)
		})
	}
	if err != nil {
		return signed, nil, nil, fmt.Errorf("prove audit checkpoint: %w", err)
	}
	return signed, k.PublicKey, proof, nil
}
