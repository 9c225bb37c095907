package authoritytest

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/authority"
)

// auditTree: leaves are read in order, nodes are kept once, and of the
// checkpoints of an hour the newest.
func auditTree(t *testing.T, d Database) {
	ctx := t.Context()
	issue(t, d.Store, expiry, identities("tree", 3)...)
	leaves, err := d.Store.AuditLeaves(ctx, 0, audit.MaxPage)
	must(t, err)
	heads, err := d.Store.Heads(ctx)
	must(t, err)
	if int64(len(leaves)) != heads.Audit || len(leaves) != 3 {
		t.Fatalf("%d leaves, head %d, want 3: takeover, intent, issue", len(leaves), heads.Audit)
	}
	if rest, err := d.Store.AuditLeaves(ctx, 2, 1); err != nil || len(rest) != 1 || rest[0] != leaves[2] {
		t.Errorf("after 2: %v, %v", rest, err)
	}
	if _, err := d.Store.AuditLeaves(ctx, 0, audit.MaxPage+1); err == nil {
		t.Error("a page without a bound is read")
	}
	if size, err := d.Store.AuditSize(ctx); err != nil || size != 0 {
		t.Errorf("size of no tree: %d, %v", size, err)
	}
	_, err = d.Store.AuditCheckpoint(ctx)
	wantError(t, "no checkpoint", err, authority.ErrNotFound)

	var edge audit.Edge
	var nodes []audit.Node
	for _, l := range leaves {
		nodes = append(nodes, edge.Append(l.Hash())...)
	}
	key, err := sm2.GenerateKey(rand.Reader)
	must(t, err)
	sign := func(at time.Time) audit.Signed {
		signed, err := audit.Sign(key, audit.Checkpoint{Tree: leaves[0].Hash(), Size: 3, Root: edge.Root(), At: at})
		must(t, err)
		return signed
	}
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	first := sign(noon)
	must(t, d.Store.ExtendAudit(ctx, nodes, &first))
	if err := d.Store.ExtendAudit(ctx, nodes[:1], nil); err == nil {
		t.Error("a node is written twice")
	}
	read := func(level int, from, to int64) (map[int64]audit.Hash, error) {
		return d.Store.AuditNodes(ctx, level, from, to)
	}
	again, err := audit.ReadEdge(3, read)
	must(t, err)
	equal(t, "root read again", again.Root(), edge.Root())
	newest, err := d.Store.AuditCheckpoint(ctx)
	must(t, err)
	equal(t, "checkpoint", newest, first)
	later := sign(noon.Add(time.Minute))
	must(t, d.Store.ExtendAudit(ctx, nil, &later))
	newest, err = d.Store.AuditCheckpoint(ctx)
	must(t, err)
	equal(t, "checkpoint of a quiet ledger", newest, later)
	if n := d.Count(t, `SELECT COUNT(*) FROM audit_checkpoints`); n != 1 {
		t.Errorf("%d checkpoints of one hour, want 1", n)
	}
}

// actsStopWithoutLeaves: when a leaf cannot be written, nothing is done.
func actsStopWithoutLeaves(t *testing.T, d Database) {
	ctx := t.Context()
	s := d.Store
	issued := issue(t, s, expiry, identity("was"))[0]
	intended := begin(t, s, identity("intended"), identity("abandonable"))
	must(t, s.RecordIntent(ctx, issuer, intents(expiry, serialsOf(intended)...)))
	drawn := begin(t, s, identity("drawn"))[0].Serial
	state := func() map[string]int64 {
		all := map[string]int64{}
		for _, table := range []string{"serials", "attempts", "issued", "revocations", "acts", "crl_numbers", "crls", "device_keys", "accepted", "feed", "audit_leaves", "processes"} {
			all[table] = d.Count(t, `SELECT COUNT(*) FROM `+table)
		}
		for _, head := range []string{"feed", "audit", "accepted"} {
			all["head "+head] = d.Count(t, `SELECT `+head+` FROM heads`)
		}
		return all
	}
	before := state()
	d.RefuseLeaves(t)
	for name, write := range fencedWrites(drawn, intended[0].Serial, intended[1].Serial, issued) {
		if name == "SetPosition" || name == "Renew" || name == "ExtendAudit" {
			continue // they are no acts
		}
		if err := write(ctx, s); err == nil || !strings.Contains(err.Error(), "audit leaves") {
			t.Errorf("%s without a leaf: %v", name, err)
		} else if errors.Is(err, authority.ErrFenced) {
			t.Errorf("%s: %v", name, err)
		}
	}
	equal(t, "rows", state(), before)
}
