package audit

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
)

// maxFindings bounds a report; further ones are counted.
const maxFindings = 1000

// unsignedFor is how long leaves may wait for a checkpoint until it is a finding.
const unsignedFor = 5 * time.Minute

// Witness is a checkpoint that was kept outside the ledger.
type Witness struct {
	// From says where: a file or URL.
	From string
	Signed
}

// Options of Verify.
type Options struct {
	// Keys are trusted to sign checkpoints; empty: those that the ledger knows.
	Keys []Key
	// Witnesses must all be of the ledger's tree, and of its present or past.
	Witnesses []Witness
	People    People
	// Progress hears of leaves and rows that were looked at; may be nil.
	Progress func(what string, done, of int64)
	Now      time.Time
}

// Report says what Verify looked at and found.
type Report struct {
	Tree string `json:"tree,omitempty"`
	// Leaves is the number of leaves, Root the root over them.
	Leaves int64  `json:"leaves"`
	Root   string `json:"root"`
	// Signed is the size of the newest checkpoint with a valid signature, at SignedAt.
	Signed      int64      `json:"signed"`
	SignedAt    *time.Time `json:"signedAt,omitempty"`
	Checkpoints int64      `json:"checkpoints"`
	Witnesses   int        `json:"witnesses"`
	Marks       int64      `json:"marks"`
	// Findings are at most 1000; More counts the others.
	Findings []Finding `json:"findings"`
	More     int64     `json:"more,omitempty"`
}

// OK says that nothing was found.
func (r Report) OK() bool { return len(r.Findings) == 0 }

func (r *Report) add(all ...Finding) {
	free := max(maxFindings-len(r.Findings), 0)
	n := min(free, len(all))
	r.Findings = append(r.Findings, all[:n]...)
	r.More += int64(len(all) - n)
}

func (r *Report) say(what, format string, args ...any) {
	r.add(Finding{What: what, Problem: fmt.Sprintf(format, args...)})
}

// Verify recomputes the tree from the leaves and compares it with every
// checkpoint, the rows with the leaves, and every signature with its key. Memory stays
// bounded, however long the ledger. It returns an error when the ledger cannot be read.
func Verify(ctx context.Context, l Ledger, o Options) (Report, error) {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	v := &verification{ledger: l, o: o, read: func(level int, from, to int64) (map[int64]Hash, error) { return l.Nodes(ctx, level, from, to) }}
	v.report.Findings = []Finding{}
	for _, step := range []func(context.Context) error{v.begin, v.leaves, v.end, v.marks} {
		if err := step(ctx); err != nil {
			return v.report, fmt.Errorf("verify audit log: %w", err)
		}
	}
	return v.report, nil
}

type verification struct {
	ledger  Ledger
	o       Options
	read    NodeReader
	checker Checker
	report  Report

	head int64
	keys []*ecdsa.PublicKey
	tree Hash // of the first leaf
	edge Edge
	// broken: the tree cannot be continued, since a leaf and its node are gone.
	broken bool
	// differs: a checkpoint had another root; those after it have as well.
	differs bool
	agreed  int64 // the largest size whose checkpoint agreed

	pending []Signed // checkpoints of the ledger that come next, by size
	listed  int64    // the size up to which they were read
}

func (v *verification) begin(ctx context.Context) (err error) {
	if v.head, err = v.ledger.Head(ctx); err != nil {
		return err
	}
	keys := v.o.Keys
	if len(keys) == 0 {
		if keys, err = v.ledger.Keys(ctx); err != nil {
			return err
		}
	}
	for _, k := range keys {
		pub, err := pki.ParseSM2SPKI(k.PublicKey)
		if err != nil {
			v.report.say("audit key "+k.Label, "%v", err)
			continue
		}
		v.keys = append(v.keys, pub)
	}
	v.checker = v.ledger.Checker(v.o.People)
	return v.refill(ctx)
}

// leaves goes through all of them.
func (v *verification) leaves(ctx context.Context) error {
	next := int64(1)
	for {
		page, err := v.ledger.Leaves(ctx, Query{After: next - 1, Limit: MaxPage})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		stored, err := v.stored(next, page[len(page)-1].Seq)
		if err != nil {
			return err
		}
		for _, l := range page {
			if err := v.missing(ctx, next, l.Seq-1, stored); err != nil {
				return err
			}
			if err := v.leaf(ctx, l, stored); err != nil {
				return err
			}
			next = l.Seq + 1
		}
		found, err := v.checker.Leaves(ctx, page)
		if err != nil {
			return err
		}
		v.report.add(found...)
		v.o.Progress("leaves", next-1, v.head)
	}
	v.report.Leaves = next - 1
	switch {
	case next-1 < v.head:
		v.report.say("ledger", "its last leaf is %d, and it gave numbers up to %d: the tail was cut", next-1, v.head)
	case next-1 > v.head:
		v.report.say("ledger", "its last leaf is %d, and it gave numbers up to %d only: leaves were added, or the count was set back", next-1, v.head)
	}
	return nil
}

// stored reads the tree's nodes over a range of leaves, by level.
func (v *verification) stored(first, last int64) ([]map[int64]Hash, error) {
	var all []map[int64]Hash
	for level := 0; level == 0 || last>>level > 0; level++ {
		found, err := v.read(level, (first-1)>>level, (last-1)>>level+1)
		if err != nil {
			return nil, err
		}
		all = append(all, found)
	}
	return all, nil
}

// missing names the leaves from first to last, which are not there, and goes on
// with the hashes that the tree kept of them.
func (v *verification) missing(ctx context.Context, first, last int64, stored []map[int64]Hash) error {
	if first > last {
		return nil
	}
	v.report.add(Finding{Leaf: first, What: "leaves " + span(first, last), Problem: "are missing: they were deleted"})
	for seq := first; seq <= last && !v.broken; seq++ {
		h, ok := stored[0][seq-1]
		if !ok {
			v.broken = true
			v.report.say("tree", "has no node for leaf %d either: what comes after it cannot be checked against checkpoints", seq)
			return nil
		}
		if err := v.extend(ctx, seq, h, stored); err != nil {
			return err
		}
	}
	return nil
}

func span(first, last int64) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d to %d", first, last)
}

func (v *verification) leaf(ctx context.Context, l Leaf, stored []map[int64]Hash) error {
	if v.broken {
		return nil
	}
	h := l.Hash()
	if kept, ok := stored[0][l.Seq-1]; ok && kept != h {
		v.report.add(About(l, "its content does not give the hash in the tree: it was changed, or swapped with another"))
		h = kept // if the checkpoints agree with this one, it was the leaf that was changed
	} else if !ok && l.Seq <= v.report.Signed {
		v.report.add(About(l, "the tree has no node for it"))
	}
	return v.extend(ctx, l.Seq, h, stored)
}

// extend adds a hash to the tree and compares the nodes and checkpoints that it completes.
func (v *verification) extend(ctx context.Context, seq int64, h Hash, stored []map[int64]Hash) error {
	if seq == 1 {
		v.tree = h
		v.report.Tree = h.String()
	}
	for _, n := range v.edge.Append(h)[1:] {
		if kept, ok := stored[n.Level][n.Number]; ok && kept != n.Hash {
			v.report.say(fmt.Sprintf("tree node %d of level %d", n.Number, n.Level), "is not the hash of what is below it: it was changed")
		}
	}
	v.report.Root = v.edge.Root().String()
	for len(v.pending) > 0 && v.pending[0].Size <= seq {
		v.checkpoint("checkpoint in the ledger", v.pending[0], seq, true)
		v.report.Checkpoints++
		v.pending = v.pending[1:]
		if len(v.pending) == 0 {
			if err := v.refill(ctx); err != nil {
				return err
			}
		}
	}
	for _, w := range v.o.Witnesses {
		if w.Size == seq {
			v.checkpoint("checkpoint of "+w.From, w.Signed, seq, false)
			v.report.Witnesses++
		}
	}
	return nil
}

// refill reads the checkpoints that come next.
func (v *verification) refill(ctx context.Context) error {
	for len(v.pending) == 0 {
		page, err := v.ledger.Checkpoints(ctx, v.listed, MaxPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, kept := range page {
			v.listed = kept.Size
			s, err := ParseSigned(kept.Text)
			if err == nil && s.Size != kept.Size {
				err = fmt.Errorf("its text is over %d leaves", s.Size)
			}
			if err != nil {
				v.report.say(fmt.Sprintf("checkpoint in the ledger over %d leaves", kept.Size), "%v: it was changed", err)
				continue
			}
			v.pending = append(v.pending, s)
		}
	}
	return nil
}

// checkpoint compares one, own when it is the ledger's, with the tree as it is at its size.
func (v *verification) checkpoint(what string, s Signed, seq int64, own bool) {
	what = fmt.Sprintf("%s over %d leaves", what, s.Size)
	if !v.signed(s) {
		v.report.say(what, "no audit key made its signature: it is forged, or was changed")
		return
	}
	switch {
	case s.Size != seq:
		v.report.say(what, "comes out of its order")
	case s.Tree != v.tree:
		v.report.say(what, "is of another tree, %s: the first leaf was changed, or it is of another ledger", s.Tree)
	case s.Root != v.edge.Root():
		if !v.differs {
			v.report.say(what, "its root is %s, and the leaves give %s: leaves from %d to %d were changed after they were signed, and the tree with them",
				s.Root, v.edge.Root(), v.agreed+1, s.Size)
		}
		v.differs = true
	default:
		v.agreed = max(v.agreed, s.Size)
		if own && s.Size >= v.report.Signed {
			at := s.At
			v.report.Signed, v.report.SignedAt = s.Size, &at
		}
	}
}

func (v *verification) signed(s Signed) bool {
	for _, pub := range v.keys {
		if s.Verify(pub) == nil {
			return true
		}
	}
	return false
}

// end judges what lies beyond the last leaf, and the rows that no leaf told of.
func (v *verification) end(ctx context.Context) error {
	beyond := func(what string, s Signed) {
		if s.Size <= v.report.Leaves {
			return // it was compared, or the tree is broken, which was said
		}
		what = fmt.Sprintf("%s over %d leaves", what, s.Size)
		switch {
		case !v.signed(s):
			v.report.say(what, "no audit key made its signature: it is forged, or was changed")
		case s.Tree != v.tree:
			v.report.say(what, "is of another tree, %s: it is of another ledger", s.Tree)
		default:
			v.report.say(what, "was signed at %s, and the ledger ends with leaf %d: the tail was cut", s.At.Format(time.RFC3339), v.report.Leaves)
		}
	}
	for len(v.pending) > 0 {
		for _, s := range v.pending {
			beyond("checkpoint in the ledger", s)
		}
		v.pending = nil
		if err := v.refill(ctx); err != nil {
			return err
		}
	}
	for _, w := range v.o.Witnesses {
		beyond("checkpoint of "+w.From, w.Signed)
	}
	if err := v.unsigned(ctx); err != nil {
		return err
	}
	found, err := v.checker.Rest(ctx, func(rows int64) { v.o.Progress("rows", rows, 0) })
	v.report.add(found...)
	return err
}

// unsigned finds leaves that wait for a checkpoint for too long.
func (v *verification) unsigned(ctx context.Context) error {
	if v.report.Leaves <= v.report.Signed || v.differs {
		return nil
	}
	first, err := v.ledger.Leaves(ctx, Query{After: v.report.Signed, Limit: 1})
	if err != nil || len(first) == 0 {
		return err
	}
	if waits := v.o.Now.Sub(first[0].Time()); waits > unsignedFor {
		v.report.add(Finding{Leaf: first[0].Seq, What: "leaves " + span(first[0].Seq, v.report.Leaves),
			Problem: fmt.Sprintf("no checkpoint covers them, for %s: does the process that issues run, with --audit-device, and does its device sign?", waits.Truncate(time.Second))})
	}
	return nil
}
