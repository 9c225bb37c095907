package replica_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
)

// auditLog is a tree with the key that signs its checkpoints.
type auditLog struct {
	key   *sm2.PrivateKey
	nodes map[[2]int64]audit.Hash
	edges []audit.Edge // by size
	tree  audit.Hash
}

// newAuditLog has leaves whose details are as given.
func newAuditLog(t *testing.T, key *sm2.PrivateKey, details ...string) *auditLog {
	t.Helper()
	l := &auditLog{key: key, nodes: map[[2]int64]audit.Hash{}}
	var e audit.Edge
	for i, detail := range details {
		h := audit.Leaf{Seq: int64(i + 1), At: 1, Act: "issue", Subject: "s", Detail: detail}.Hash()
		if i == 0 {
			l.tree = h
		}
		for _, n := range e.Append(h) {
			l.nodes[[2]int64{int64(n.Level), n.Number}] = n.Hash
		}
		at, err := audit.ReadEdge(e.Size(), l.read)
		if err != nil {
			t.Fatal(err)
		}
		l.edges = append(l.edges, at)
	}
	return l
}

func (l *auditLog) read(level int, from, to int64) (map[int64]audit.Hash, error) {
	found := map[int64]audit.Hash{}
	for n := from; n < to; n++ {
		if h, ok := l.nodes[[2]int64{int64(level), n}]; ok {
			found[n] = h
		}
	}
	return found, nil
}

// push is the checkpoint over size leaves with the proof for who holds one over held.
func (l *auditLog) push(t *testing.T, size, held int64) replica.AuditPush {
	t.Helper()
	signed, err := audit.Sign(l.key, audit.Checkpoint{Tree: l.tree, Size: size, Root: l.edges[size-1].Root(), At: time.Unix(1_700_000_000+size, 0)})
	if err != nil {
		t.Fatal(err)
	}
	spki, err := pki.MarshalSPKI(&l.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	p := replica.AuditPush{Text: signed.Text(), Key: spki}
	if held < size {
		proof, err := audit.Consistency(held, size, l.read)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range proof {
			p.Proof = append(p.Proof, h[:])
		}
	}
	return p
}

func TestAuditCheckpointsGoForwardOnly(t *testing.T) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	details := strings.Split("abcdefghijk", "")
	log := newAuditLog(t, key, details...)
	changed := append([]string{}, details...)
	changed[3] = "x"
	rewritten := newAuditLog(t, key, changed...)
	other := newAuditLog(t, key, strings.Split("zyxwvu", "")...)
	held := replica.Audit{}.Take(log.push(t, 6, 0))
	if held.Size() != 6 || held.Reason != "" {
		t.Fatalf("the first: %+v", held)
	}
	unsigned := log.push(t, 9, 6)
	unsigned.Key = other.push(t, 1, 0).Text
	for name, tc := range map[string]struct {
		push   replica.AuditPush
		size   int64
		reason string
		forked bool
	}{
		"later":          {log.push(t, 9, 6), 9, "", false},
		"the same":       {log.push(t, 6, 6), 6, "", false},
		"cut":            {log.push(t, 5, 6), 6, "tail was cut", false},
		"rewritten":      {rewritten.push(t, 9, 6), 6, "the ledger was rewritten", true},
		"without proof":  {log.push(t, 9, 9), 6, "the ledger was rewritten", true},
		"same size":      {rewritten.push(t, 6, 6), 6, "the ledger was rewritten", true},
		"another ledger": {other.push(t, 6, 6), 6, "is of another tree", true},
		"no key":         {unsigned, 6, "key of the checkpoint", false},
		"garbage":        {replica.AuditPush{Text: []byte("x")}, 6, "not a checkpoint", false},
	} {
		got := held.Take(tc.push)
		if got.Size() != tc.size || got.Forked != tc.forked || !strings.Contains(got.Reason, tc.reason) || (tc.reason == "") != (len(got.Refused) == 0) {
			t.Errorf("%s: size %d, forked %t, %q", name, got.Size(), got.Forked, got.Reason)
		}
		// The right one is taken afterwards; what contradicted stays on record.
		again := got.Take(log.push(t, 11, tc.size))
		if again.Size() != 11 || again.Forked != tc.forked || (again.Reason != "") != tc.forked {
			t.Errorf("%s, and then the right one: %d, %+v", name, again.Size(), again.Reason)
		}
		if tc.forked {
			if d := cmp.Diff(got.Refused, again.Take(rewritten.push(t, 11, 11)).Refused); d != "" {
				t.Errorf("%s: the first contradiction is not kept: %s", name, d)
			}
		}
	}
	if got := (replica.Audit{}).Take(replica.AuditPush{Text: []byte("x")}); got.Size() != 0 || got.Reason == "" {
		t.Errorf("garbage to an empty node: %+v", got)
	}
}

func TestAuditPushIsBounded(t *testing.T) {
	for name, p := range map[string]replica.Push{
		"long text":   {Audit: &replica.AuditPush{Text: make([]byte, audit.MaxCheckpoint+1)}},
		"long key":    {Audit: &replica.AuditPush{Key: make([]byte, 1000)}},
		"long proof":  {Audit: &replica.AuditPush{Proof: make([][]byte, audit.MaxProof+1)}},
		"short hash":  {Audit: &replica.AuditPush{Proof: [][]byte{{1}}}},
		"in a refill": {Refill: true, Audit: &replica.AuditPush{}},
	} {
		if err := p.Check(); !errors.Is(err, replica.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
