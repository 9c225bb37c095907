package replica_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	_ "github.com/mattn/go-sqlite3"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/replica/replicatest"
	"github.com/terrace-pki/terrace/internal/responder"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// backUp copies the ledger as it is now.
func (c *core) backUp(t testing.TB) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "backup.db")
	db, err := sql.Open("sqlite3", c.ledger)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `VACUUM INTO ?`, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// restore begins a core from a backup, with the keys of the core that it was of.
func (c *core) restore(t testing.TB, backup string) *core {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: backup, TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	r := &core{ledger: backup, store: store, orders: c.orders + 1000}
	devices := device.NewRegistry()
	if err := devices.Put("ns/device", openKeystore(t, filepath.Join(filepath.Dir(c.ledger), "ca-keys"))); err != nil {
		t.Fatal(err)
	}
	r.authorities = authority.New(authority.Config{Store: store, Keys: devices, Now: r.clock})
	r.responders = responder.New(store, r.authorities, r.clock)
	if err := errors.Join(r.authorities.Load(t.Context()), r.responders.Load(t.Context())); err != nil {
		t.Fatal(err)
	}
	runFor(t, func(ctx context.Context) error { return r.authorities.WatchLedger(ctx, logr.Discard()) })
	return r
}

func (c *core) inStep(t testing.TB, s *replica.Sender, e *end) {
	t.Helper()
	eventually(t, e.name+" in step with the whole ledger", func() bool {
		status, _ := s.Status(e.name)
		head, err := c.store.Head(t.Context())
		known := e.node.Known()
		return err == nil && known.Position == head && !known.Refilling && status.State == replica.InStep && status.LastError == ""
	})
}

func TestNodeIsFilledAnewAfterARestore(t *testing.T) {
	for name, c := range map[string]struct{ before, after int }{
		"head is below the node's position":     {30, 0},
		"head has passed the node's position":   {30, 60},
		"head is just the number of the node's": {4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			old, a := newCore(t), newEnd(t, "val-a")
			kept := old.issue(t, 2)
			old.declare(t, a)
			s, stop := old.sender(t, a)
			a.wait(t, kept[1], "good")
			eventually(t, "certified", func() bool { n, err := old.responders.CheckNodes(serviceID); return n == 1 && err == nil })
			old.inStep(t, s, a)
			backup := old.backUp(t)
			lost := old.issue(t, c.before)
			old.perform(t, "revoke-lost", authority.VerbRevoke, kept[1]) // of which the backup knows nothing
			old.inStep(t, s, a)
			stop()

			restored := old.restore(t, backup)
			restored.perform(t, "revoke", authority.VerbRevoke, kept[0])
			if c.after > 0 { // the node hears of it after the ledger has passed it again
				restored.issue(t, c.after)
			}
			s, _ = restored.sender(t, a)
			restored.inStep(t, s, a)
			for serial, want := range map[pki.Serial]string{kept[0]: "keyCompromise", kept[1]: "good", lost[0]: "unknown", lost[c.before-1]: "unknown"} {
				if got := a.state(t, serial); got != want {
					t.Errorf("serial %s is %s, want %s", serial, got, want)
				}
			}
			if total, err := restored.store.Count(t.Context(), caKey); err != nil || a.node.Known().Serials != total {
				t.Errorf("the node counts %d serials, the ledger %d, %v", a.node.Known().Serials, total, err)
			}
			// It follows on, and is not filled anew again.
			a.wait(t, restored.issue(t, 1)[0], "good")
			restored.inStep(t, s, a)
		})
	}
}

func TestReplicaOfAnEarlierReleaseIsFilledAnewOnce(t *testing.T) {
	c, a := newCore(t), newEnd(t, "val-a")
	serials := c.issue(t, 5)
	wrong := replicatest.Good(1, replicatest.Serial(7))
	if _, err := a.node.Push(t.Context(), replica.Push{Next: 3, Head: 3, Changes: []replica.Change{wrong}}); err != nil {
		t.Fatal(err)
	}
	c.declare(t, a)
	s, _ := c.sender(t, a)
	for _, serial := range serials {
		a.wait(t, serial, "good")
	}
	a.wait(t, wrong.Serial, "unknown")
	c.inStep(t, s, a)
	if known := a.node.Known(); len(known.Anchor) == 0 || len(known.Ledger) == 0 {
		t.Errorf("the replica has no anchor: %+v", known)
	}
}

func TestReplicaOfAnotherLedgerIsLeftAlone(t *testing.T) {
	first, second, a := newCore(t), newCore(t), newEnd(t, "val-a")
	serial := first.issue(t, 1)[0]
	first.declare(t, a)
	s, stop := first.sender(t, a)
	a.wait(t, serial, "good")
	first.inStep(t, s, a)
	stop()
	second.issue(t, 50) // its head is beyond the node's position
	second.declare(t, a)
	s, _ = second.sender(t, a)
	eventually(t, "an error that names the cure", func() bool {
		status, _ := s.Status("val-a")
		return status.State == replica.Unreachable && strings.Contains(status.LastError, "remove its replica file")
	})
	if got := a.state(t, serial); got != "good" || a.node.Known().Refilling {
		t.Errorf("the serial is %s, state %+v; want what the first ledger said", got, a.node.Known())
	}
}

// forgetful is a node that loses what it confirmed.
type forgetful struct {
	pushes  atomic.Int64
	request *replica.ResponderRequest
	anchor  []byte
	ledger  []byte
}

func (f *forgetful) answer() replica.Pushed {
	return replica.Pushed{State: replica.State{Position: 1, Anchor: f.anchor, Ledger: f.ledger}, Request: f.request}
}

func (f *forgetful) State(context.Context) (replica.Pushed, error) { return f.answer(), nil }

func (f *forgetful) Push(_ context.Context, p replica.Push) (replica.Pushed, error) {
	answer := f.answer()
	if f.pushes.Add(1)%2 == 1 { // takes one, and has lost it with the next
		answer.Position, answer.Anchor = p.Next, p.Anchor
	}
	if p.Config != nil {
		answer.Digest = p.Config.Digest
	}
	return answer, nil
}

func TestNodeThatLosesWhatItConfirmedMakesNoHotLoop(t *testing.T) {
	c, a := newCore(t), newEnd(t, "val-a")
	c.issue(t, 2100)
	c.declare(t, a)
	first, err := c.store.Anchor(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	node := &forgetful{anchor: bytes.Clone(first), ledger: first}
	s := replica.NewSender(replica.SenderConfig{Feed: c.store, Changed: c.authorities.Changed, Source: c.responders, Log: logr.Discard(), Poll: 50 * time.Millisecond,
		Dial: func(replica.Target) (replica.Remote, error) { return node, nil }})
	stop := runFor(t, s.Run)
	eventually(t, "an error that says what to look at", func() bool {
		status, _ := s.Status("val-a")
		return status.State == replica.Unreachable && strings.Contains(status.LastError, "look at its disk")
	})
	time.Sleep(time.Second)
	stop()
	if n := node.pushes.Load(); n > 20 {
		t.Errorf("%d pushes within some seconds", n)
	}
}
