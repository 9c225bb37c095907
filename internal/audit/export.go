package audit

import (
	"context"
	"fmt"
)

// Header is the first line of an export: what its proofs lead to.
type Header struct {
	// Checkpoint is the text of the checkpoint, Keys the audit keys that the ledger knows, DER.
	Checkpoint string   `json:"checkpoint"`
	Keys       [][]byte `json:"keys"`
}

const (
	// cachedLevel and above, nodes are remembered by an export: each is used for
	// at least so many (two to its power) leaves.
	cachedLevel = 5
	// maxCached bounds them: 40 bytes each, for 32 million leaves.
	maxCached = 2 << 20
)

// cached remembers the nodes that many proofs share.
func cached(read NodeReader) NodeReader {
	type key struct {
		level  int
		number int64
	}
	kept := map[key]Hash{}
	return func(level int, from, to int64) (map[int64]Hash, error) {
		if h, ok := kept[key{level, from}]; ok && to == from+1 {
			return map[int64]Hash{from: h}, nil
		}
		found, err := read(level, from, to)
		if err == nil && level >= cachedLevel && len(kept) < maxCached {
			for number, h := range found {
				kept[key{level, number}] = h
			}
		}
		return found, err
	}
}

// Export calls yield for each leaf after a number up to the size of a checkpoint,
// with the proof that the checkpoint covers it. It can go on after the last one that was written.
func Export(ctx context.Context, l Ledger, c Checkpoint, after int64, yield func(Line) error) error {
	marks, err := ReadMarks(ctx, l)
	if err != nil {
		return err
	}
	read := cached(func(level int, from, to int64) (map[int64]Hash, error) { return l.Nodes(ctx, level, from, to) })
	for after < c.Size {
		page, err := l.Leaves(ctx, Query{After: after, Limit: MaxPage})
		if err != nil {
			return fmt.Errorf("export audit log: %w", err)
		}
		if len(page) == 0 {
			return fmt.Errorf("export audit log: leaf %d is missing: run terrace audit verify", after+1)
		}
		for _, leaf := range page {
			if after = leaf.Seq; leaf.Seq > c.Size {
				break
			}
			proof, err := Inclusion(leaf.Seq, c.Size, read)
			if err != nil {
				return fmt.Errorf("export leaf %d: %w", leaf.Seq, err)
			}
			if err := VerifyInclusion(leaf.Hash(), leaf.Seq, c.Size, c.Root, proof); err != nil {
				return fmt.Errorf("export leaf %d: it was changed: %w; run terrace audit verify", leaf.Seq, err)
			}
			line := NewLine(leaf, marks)
			for _, h := range proof {
				line.Proof = append(line.Proof, h.String())
			}
			if err := yield(line); err != nil {
				return err
			}
		}
	}
	return nil
}
