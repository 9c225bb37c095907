package audit

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/emmansun/gmsm/sm3"
)

// root is MTH of RFC 6962 section 2.1, as it is written there.
func root(d []Hash) Hash {
	switch len(d) {
	case 0:
		return sm3.Sum(nil)
	case 1:
		return d[0]
	}
	k := 1
	for 2*k < len(d) {
		k *= 2
	}
	return hashNode(root(d[:k]), root(d[k:]))
}

// path is PATH of RFC 6962 section 2.1.1.
func path(m int, d []Hash) []Hash {
	if len(d) == 1 {
		return nil
	}
	k := 1
	for 2*k < len(d) {
		k *= 2
	}
	if m < k {
		return append(path(m, d[:k]), root(d[k:]))
	}
	return append(path(m-k, d[k:]), root(d[:k]))
}

func hashes(n int) []Hash {
	all := make([]Hash, n)
	for i := range all {
		all[i] = Leaf{Seq: int64(i + 1), At: int64(i), Act: "issue", Subject: "s", Detail: fmt.Sprintf(`{"n":"%d"}`, i)}.Hash()
	}
	return all
}

// grow appends hashes to the empty tree and keeps its nodes.
func grow(all []Hash) (Edge, NodeReader) {
	var e Edge
	kept := map[[2]int64]Hash{}
	for _, h := range all {
		for _, n := range e.Append(h) {
			kept[[2]int64{int64(n.Level), n.Number}] = n.Hash
		}
	}
	return e, func(level int, from, to int64) (map[int64]Hash, error) {
		found := map[int64]Hash{}
		for number := from; number < to; number++ {
			if h, ok := kept[[2]int64{int64(level), number}]; ok {
				found[number] = h
			}
		}
		return found, nil
	}
}

func TestTreeIsThatOfRFC6962(t *testing.T) {
	const most = 70
	all := hashes(most)
	_, read := grow(all)
	for n := range most + 1 {
		e, _ := grow(all[:n])
		want := root(all[:n])
		if got := e.Root(); got != want {
			t.Fatalf("root over %d leaves is %s, want %s", n, got, want)
		}
		again, err := ReadEdge(int64(n), read)
		if err != nil || again.Root() != want || again.Size() != int64(n) {
			t.Fatalf("edge over %d leaves read again: root %s, %v", n, again.Root(), err)
		}
		if n == 0 {
			continue
		}
		if got, err := RootAt(int64(n), read); err != nil || got != want {
			t.Fatalf("root at %d: %s, %v", n, got, err)
		}
		for m := range n {
			proof, err := Inclusion(int64(m+1), int64(n), read)
			if err != nil || fmt.Sprint(proof) != fmt.Sprint(path(m, all[:n])) {
				t.Fatalf("path of leaf %d of %d: %v, %v", m+1, n, proof, err)
			}
			if err := VerifyInclusion(all[m], int64(m+1), int64(n), want, proof); err != nil {
				t.Fatal(err)
			}
			old := root(all[:m+1])
			proof, err = Consistency(int64(m+1), int64(n), read)
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyConsistency(int64(m+1), int64(n), old, want, proof); err != nil {
				t.Fatalf("consistency: %v", err)
			}
		}
	}
}

// What a proof says is spoilt in one place, and it must not hold.
func TestSpoiltProofsAreRefused(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := hashes(200)
	_, read := grow(all)
	for range 2000 {
		size := r.Int64N(199) + 2
		seq := r.Int64N(size) + 1
		want := root(all[:size])
		spoil := func(proof []Hash) []Hash {
			switch r.IntN(3) {
			case 0:
				return append(append([]Hash{}, proof...), want)
			case 1:
				if len(proof) > 0 {
					return proof[:len(proof)-1]
				}
			}
			spoilt := append([]Hash{}, proof...)
			if len(spoilt) == 0 {
				return []Hash{want}
			}
			spoilt[r.IntN(len(spoilt))][r.IntN(32)] ^= 1 << r.IntN(8)
			return spoilt
		}
		inclusion, err := Inclusion(seq, size, read)
		if err != nil {
			t.Fatal(err)
		}
		if VerifyInclusion(all[seq-1], seq, size, want, spoil(inclusion)) == nil {
			t.Fatalf("leaf %d of %d: a spoilt path holds", seq, size)
		}
		other := seq%size + 1
		if VerifyInclusion(all[other-1], seq, size, want, inclusion) == nil {
			t.Fatalf("leaf %d passes for leaf %d of %d", other, seq, size)
		}
		consistency, err := Consistency(seq, size, read)
		if err != nil {
			t.Fatal(err)
		}
		old := root(all[:seq])
		if VerifyConsistency(seq, size, old, want, spoil(consistency)) == nil {
			t.Fatalf("%d to %d: a spoilt proof holds", seq, size)
		}
		forked := append([]Hash{}, all[:seq]...)
		forked[r.IntN(len(forked))][0] ^= 1
		if VerifyConsistency(seq, size, root(forked), want, consistency) == nil {
			t.Fatalf("%d to %d: another history passes", seq, size)
		}
	}
}

func FuzzVerifyConsistency(f *testing.F) {
	all := hashes(9)
	_, read := grow(all)
	proof, _ := Consistency(5, 9, read)
	flat := func(hs []Hash) (b []byte) {
		for _, h := range hs {
			b = append(b, h[:]...)
		}
		return b
	}
	f.Add(int64(5), int64(9), flat(proof))
	f.Add(int64(1), int64(1)<<62, []byte{})
	old, now := root(all[:5]), root(all)
	f.Fuzz(func(t *testing.T, from, size int64, b []byte) {
		var p []Hash
		for ; len(b) >= 32; b = b[32:] {
			p = append(p, Hash(b[:32]))
		}
		_ = VerifyInclusion(old, from, size, now, p)
		if err := VerifyConsistency(from, size, old, now, p); err == nil && (from != 5 || size != 9) && fmt.Sprint(p) != fmt.Sprint(proof) {
			t.Errorf("a proof of nothing holds: %d to %d", from, size)
		}
	})
}

// The vectors bind the encoding of leaves and the hashes: what was signed once
// must verify with every later release.
func TestVectors(t *testing.T) {
	var v struct {
		Leaves []struct {
			Leaf
			Hash string
		}
		Roots []string
	}
	b, err := os.ReadFile("testdata/tree.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Leaves) != 7 || len(v.Roots) != 8 {
		t.Fatalf("%d leaves and %d roots in the vectors, want 7 and 8", len(v.Leaves), len(v.Roots))
	}
	var e Edge
	for i, l := range v.Leaves {
		if got := e.Root().String(); got != v.Roots[i] {
			t.Errorf("root over %d leaves is %s, want %s", i, got, v.Roots[i])
		}
		if got := l.Leaf.Hash().String(); got != l.Hash {
			t.Errorf("hash of %s is %s, want %s", l.Leaf, got, l.Hash)
		}
		e.Append(l.Leaf.Hash())
	}
	if got := e.Root().String(); got != v.Roots[7] {
		t.Errorf("root over 7 leaves is %s, want %s", got, v.Roots[7])
	}
}
