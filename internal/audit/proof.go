package audit

import (
	"errors"
	"fmt"
	"math/bits"
)

// MaxProof is the longest proof in hashes.
const MaxProof = 2 * maxLevel

// ErrProof: a proof does not show what it should.
var ErrProof = errors.New("proof of the audit tree does not hold")

// subtree is the root over the leaves in [from, to), which RFC 6962 splits at
// the largest power of two: from is a multiple of it.
func subtree(read NodeReader, from, to int64) (Hash, error) {
	n := to - from
	level := bits.Len64(uint64(n)) - 1
	if n == 1<<level {
		return read.one(level, from>>level)
	}
	middle := from + 1<<level
	left, err := read.one(level, from>>level)
	if err != nil {
		return Hash{}, err
	}
	right, err := subtree(read, middle, to)
	return hashNode(left, right), err
}

// RootAt is the root of the tree over the first size leaves, from 1.
func RootAt(size int64, read NodeReader) (Hash, error) {
	if size < 1 {
		return Hash{}, fmt.Errorf("root of the audit tree: size %d: want 1 or more", size)
	}
	return subtree(read, 0, size)
}

// split is the largest power of two below n, for n of 2 or more.
func split(n int64) int64 { return 1 << (bits.Len64(uint64(n-1)) - 1) }

// Inclusion returns the path from the leaf with the number seq, from 1, to the
// root of the tree over the first size leaves (RFC 6962 section 2.1.1).
func Inclusion(seq, size int64, read NodeReader) ([]Hash, error) {
	if seq < 1 || seq > size {
		return nil, fmt.Errorf("inclusion proof: leaf %d is not among %d", seq, size)
	}
	var path []Hash
	leaf, from, to := seq-1, int64(0), size
	for to-from > 1 {
		middle := from + split(to-from)
		a, b := middle, to // the other side
		if leaf < middle {
			to = middle
		} else {
			a, b = from, middle
			from = middle
		}
		h, err := subtree(read, a, b)
		if err != nil {
			return nil, fmt.Errorf("inclusion proof: %w", err)
		}
		path = append(path, h)
	}
	for i, j := 0, len(path)-1; i < j; i, j = i+1, j-1 {
		path[i], path[j] = path[j], path[i]
	}
	return path, nil
}

// VerifyInclusion is nil when path leads from the hash of the leaf with the
// number seq to the root over size leaves (RFC 9162 section 2.1.3.2).
func VerifyInclusion(leaf Hash, seq, size int64, root Hash, path []Hash) error {
	if seq < 1 || seq > size {
		return fmt.Errorf("leaf %d of %d: %w", seq, size, ErrProof)
	}
	fn, sn, r := seq-1, size-1, leaf
	for _, p := range path {
		if sn == 0 {
			return fmt.Errorf("leaf %d of %d: path is too long: %w", seq, size, ErrProof)
		}
		if fn&1 == 1 || fn == sn {
			r = hashNode(p, r)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			r = hashNode(r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || r != root {
		return fmt.Errorf("leaf %d of %d: %w", seq, size, ErrProof)
	}
	return nil
}

// Consistency returns the proof that the first from of size leaves are those of
// the tree that had from leaves (RFC 6962 section 2.1.2). It is empty when from is 0 or size.
func Consistency(from, size int64, read NodeReader) ([]Hash, error) {
	if from < 0 || from > size {
		return nil, fmt.Errorf("consistency proof: from %d to %d leaves: want 0 <= from <= size", from, size)
	}
	if from == 0 || from == size {
		return nil, nil
	}
	proof, err := consistency(read, from, 0, size, true)
	if err != nil {
		return nil, fmt.Errorf("consistency proof: %w", err)
	}
	return proof, nil
}

// consistency is SUBPROOF of RFC 6962 over the leaves in [first, end); old is
// where the older tree ends.
func consistency(read NodeReader, old, first, end int64, whole bool) ([]Hash, error) {
	if old == end {
		if whole {
			return nil, nil
		}
		h, err := subtree(read, first, end)
		return []Hash{h}, err
	}
	middle := first + split(end-first)
	var proof []Hash
	var other Hash
	var err error
	if old <= middle {
		if proof, err = consistency(read, old, first, middle, whole); err == nil {
			other, err = subtree(read, middle, end)
		}
	} else if proof, err = consistency(read, old, middle, end, false); err == nil {
		other, err = subtree(read, first, middle)
	}
	return append(proof, other), err
}

// VerifyConsistency is nil when proof shows that the tree with root over size
// leaves begins with the from leaves of the one with old (RFC 9162 section 2.1.4.2).
func VerifyConsistency(from, size int64, old, root Hash, proof []Hash) error {
	fail := fmt.Errorf("from %d to %d leaves: %w", from, size, ErrProof)
	switch {
	case from < 1 || from > size:
		return fail
	case from == size:
		if len(proof) > 0 || old != root {
			return fail
		}
		return nil
	case len(proof) == 0 || len(proof) > MaxProof:
		return fail
	}
	if from&(from-1) == 0 {
		proof = append([]Hash{old}, proof...)
	}
	fn, sn := from-1, size-1
	for fn&1 == 1 {
		fn, sn = fn>>1, sn>>1
	}
	fr, sr := proof[0], proof[0]
	for _, c := range proof[1:] {
		if sn == 0 {
			return fail
		}
		if fn&1 == 1 || fn == sn {
			fr, sr = hashNode(c, fr), hashNode(c, sr)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			sr = hashNode(sr, c)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 || fr != old || sr != root {
		return fail
	}
	return nil
}
