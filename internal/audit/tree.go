package audit

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/emmansun/gmsm/sm3"
)

// Hash is an SM3 digest: of a leaf, of a node, or the root of a tree.
type Hash [sm3.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

func (h Hash) base64() string { return base64.StdEncoding.EncodeToString(h[:]) }

// hashNode is SM3 over one octet 01 and the two children (RFC 6962 section 2.1).
func hashNode(left, right Hash) Hash {
	b := make([]byte, 0, 1+2*len(left))
	b = append(b, 1)
	b = append(b, left[:]...)
	return sm3.Sum(append(b, right[:]...))
}

// Node is the root of a full subtree: of the 2^Level leaves from Number * 2^Level,
// counted from 0. The leaf with the number seq is Node{0, seq-1}.
type Node struct {
	Level  int
	Number int64
	Hash   Hash
}

// maxLevel is that of a tree of as many leaves as int64 counts.
const maxLevel = 62

// NodeReader returns nodes of a level with numbers in [from, to); those that are
// not there are missing in the answer.
type NodeReader func(level int, from, to int64) (map[int64]Hash, error)

func (read NodeReader) one(level int, number int64) (Hash, error) {
	found, err := read(level, number, number+1)
	if err != nil {
		return Hash{}, err
	}
	h, ok := found[number]
	if !ok {
		return Hash{}, fmt.Errorf("node %d of level %d of the audit tree is missing", number, level)
	}
	return h, nil
}

// Edge is what a growing tree needs of itself: the roots of its full subtrees,
// the largest first. The zero Edge is the empty tree.
type Edge struct {
	size  int64
	peaks []Hash
}

// ReadEdge returns the edge of the tree over the first size leaves.
func ReadEdge(size int64, read NodeReader) (Edge, error) {
	e := Edge{size: size}
	for level := bits.Len64(uint64(size)) - 1; level >= 0; level-- {
		if size>>level&1 == 0 {
			continue
		}
		h, err := read.one(level, size>>level-1)
		if err != nil {
			return Edge{}, err
		}
		e.peaks = append(e.peaks, h)
	}
	return e, nil
}

// Size is the number of leaves.
func (e *Edge) Size() int64 { return e.size }

// Append adds the hash of the next leaf and returns the nodes that are complete
// now, the leaf's own first.
func (e *Edge) Append(leaf Hash) []Node {
	nodes := []Node{{0, e.size, leaf}}
	h := leaf
	for level := 0; e.size>>level&1 == 1; level++ {
		last := len(e.peaks) - 1
		h = hashNode(e.peaks[last], h)
		e.peaks = e.peaks[:last]
		nodes = append(nodes, Node{level + 1, e.size >> (level + 1), h})
	}
	e.peaks = append(e.peaks, h)
	e.size++
	return nodes
}

// Root is the root of the tree; SM3 of nothing for the empty one.
func (e *Edge) Root() Hash {
	if len(e.peaks) == 0 {
		return sm3.Sum(nil)
	}
	last := len(e.peaks) - 1
	root := e.peaks[last]
	for i := last - 1; i >= 0; i-- {
		root = hashNode(e.peaks[i], root)
	}
	return root
}
