package replica_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/link"
	"github.com/terrace-pki/terrace/internal/link/linktest"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/replica/replicatest"
)

func TestNodeFollowsTheLedger(t *testing.T) {
	c, a := newCore(t), newEnd(t, "val-a")
	serials := c.issue(t, 3)
	if made, err := c.authorities.EnsureCRL(t.Context(), caKey, 0); err != nil || !made {
		t.Fatalf("CRL made: %t, %v", made, err)
	}
	c.declare(t, a)
	s, _ := c.sender(t, a)
	for _, serial := range serials {
		a.wait(t, serial, "good")
	}
	if got := a.state(t, replicatest.Serial(1)); got != "unknown" {
		t.Errorf("a serial that was never used is %s", got)
	}

	c.perform(t, "revoke", authority.VerbRevoke, serials[0])
	begin := time.Now()
	a.wait(t, serials[0], "keyCompromise")
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a revocation took %s to the node, want below one second", took)
	}
	c.perform(t, "hold", authority.VerbHold, serials[1])
	a.wait(t, serials[1], "certificateHold")
	c.perform(t, "release", authority.VerbRelease, serials[1])
	a.wait(t, serials[1], "good")

	want, err := c.store.CurrentCRL(t.Context(), caKey, 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the current CRL at the node", func() bool {
		got, err := a.store.CRL(t.Context(), caKey, 0)
		return err == nil && got.Number == want.Number && string(got.DER) == string(want.DER)
	})
	eventually(t, "in step", func() bool {
		status, ok := s.Status("val-a")
		return ok && status.State == replica.InStep && status.Backlog == 0 && status.LastError == ""
	})
	config := a.config.Load()
	service, ok := config.Find(serviceID)
	if !ok || len(service.Authorities) != 1 || service.BaseURL != "http://v.example" {
		t.Fatalf("configuration at the node: %+v", config)
	}
	_, certificate, err := service.Authorities[0].Parse()
	if err != nil || certificate == nil || !strings.Contains(certificate.Subject.CommonName, "val-a") {
		t.Errorf("responder certificate %v, %v, want one whose name has the node's", certificate, err)
	}
	if served, err := c.responders.CheckNodes(serviceID); served != 1 || err != nil {
		t.Errorf("served %d, %v, want 1", served, err)
	}
	eventually(t, "position kept for people", func() bool {
		head, err := c.store.Head(t.Context())
		at, err2 := c.store.Position(t.Context(), "validation/val-a")
		return err == nil && err2 == nil && at == head && a.node.Known().Position == head
	})
}

func TestNodeThatWasDownForAnHourCatchesUp(t *testing.T) {
	c, a, b := newCore(t), newEnd(t, "val-a"), newEnd(t, "val-b")
	first := c.issue(t, 1)[0]
	c.declare(t, a, b)
	s, _ := c.sender(t, a, b)
	a.wait(t, first, "good")
	b.wait(t, first, "good")
	b.pair.Stop()

	c.perform(t, "revoke", authority.VerbRevoke, first)
	later := c.issue(t, 300)
	a.wait(t, first, "keyCompromise")
	a.wait(t, later[299], "good")
	eventually(t, "unreachable with an error", func() bool {
		status, _ := s.Status("val-b")
		return status.State == replica.Unreachable && status.LastError != "" && status.Backlog >= 300
	})
	c.now.Store(int64(time.Hour))
	if status, _ := s.Status("val-a"); status.State == replica.Unreachable {
		t.Errorf("one node down, and the other is %+v", status)
	}
	if got := b.state(t, first); got != "good" {
		t.Errorf("the node that is down has %s", got)
	}

	b.pair.Start()
	b.wait(t, first, "keyCompromise")
	for _, serial := range later {
		b.wait(t, serial, "good")
	}
	eventually(t, "in step again", func() bool {
		status, _ := s.Status("val-b")
		return status.State == replica.InStep && status.Backlog == 0 && status.LastError == "" && c.clock().Sub(status.PushedAt) < time.Minute
	})
}

func TestNodeRestartsWithWhatItHolds(t *testing.T) {
	c, a := newCore(t), newEnd(t, "val-a")
	serial := c.issue(t, 1)[0]
	c.declare(t, a)
	_, stop := c.sender(t, a)
	a.wait(t, serial, "good")
	eventually(t, "certified", func() bool { n, err := c.responders.CheckNodes(serviceID); return n == 1 && err == nil })
	stop() // the core is switched off
	before, config := a.node.Known(), *a.config.Load()
	certified, _ := config.Find(serviceID)
	a.restart(t)
	if got := a.node.Known(); got.Position != before.Position || got.Serials != before.Serials {
		t.Errorf("after a restart: %+v, before: %+v", got, before)
	}
	if got, ok := a.config.Load().Find(serviceID); !ok || len(got.Authorities) != len(certified.Authorities) {
		t.Errorf("after a restart it serves %+v", got)
	}
	if got := a.state(t, serial); got != "good" {
		t.Errorf("after a restart the serial is %s", got)
	}
	issued, err := c.store.Count(t.Context(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	_, stopAgain := c.sender(t, a)
	c.perform(t, "revoke", authority.VerbRevoke, serial)
	a.wait(t, serial, "keyCompromise")
	stopAgain()
	if again, err := c.store.Count(t.Context(), caKey); err != nil || again != issued {
		t.Errorf("%d certificates after the restart, %v, want %d: the same key has its certificate", again, err, issued)
	}
}

func TestFailedPushesLoseNothing(t *testing.T) {
	for name, fail := range map[string]func(*replicatest.Faulty, error){
		"failed":               (*replicatest.Faulty).FailBefore,
		"failed but persisted": (*replicatest.Faulty).FailAfter,
	} {
		t.Run(name, func(t *testing.T) {
			c, a := newCore(t), newEnd(t, "val-a")
			fail(a.store, errors.New("disk is full")) // of the push with the configuration
			serials := c.issue(t, 2)
			c.declare(t, a)
			s, _ := c.sender(t, a)
			a.wait(t, serials[1], "good")
			eventually(t, "in step", func() bool { st, _ := s.Status("val-a"); return st.State == replica.InStep && st.LastError == "" })
			service, ok := a.config.Load().Find(serviceID)
			if !ok || len(service.Authorities) != 1 {
				t.Errorf("the node serves %+v", service)
			}
			fail(a.store, errors.New("disk is full"))
			c.perform(t, "revoke", authority.VerbRevoke, serials[0])
			a.wait(t, serials[0], "keyCompromise")
			// The certificates of the responder are serials as well.
			if total, err := c.store.Count(t.Context(), caKey); err != nil || a.node.Known().Serials > total {
				t.Errorf("the node counts %d serials, the ledger %d, %v", a.node.Known().Serials, total, err)
			}
		})
	}
}

func TestReplayedPushesChangeNothing(t *testing.T) {
	a := newEnd(t, "val-a")
	remote, err := replica.NewRemote(a.client)
	if err != nil {
		t.Fatal(err)
	}
	push := func(p replica.Push) replica.Pushed {
		t.Helper()
		answer, err := remote.Push(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	old := replica.Push{Next: 1, Changes: []replica.Change{replicatest.Good(1, replicatest.Serial(1))}}
	push(old)
	push(replica.Push{After: 1, Next: 2, Changes: []replica.Change{replicatest.Revoked(2, replicatest.Serial(1), pki.ReasonKeyCompromise)}})
	if answer := push(old); answer.Position != 2 {
		t.Errorf("after an old push: position %d, want 2", answer.Position)
	}
	if got := a.state(t, replicatest.Serial(1)); got != "keyCompromise" {
		t.Errorf("after an old push the serial is %s", got)
	}
	gap := push(replica.Push{After: 5, Next: 6, Changes: []replica.Change{replicatest.Good(6, replicatest.Serial(2))}})
	if gap.Position != 2 || a.state(t, replicatest.Serial(2)) != "unknown" {
		t.Errorf("after a push with a gap: %+v, want position 2 and nothing taken", gap)
	}
	if gap.Request == nil {
		t.Error("the node does not ask for a certificate")
	}
	for name, bad := range map[string]replica.Push{
		"backwards":        {After: 2, Next: 1},
		"changes too many": {After: 2, Next: 2000, Changes: make([]replica.Change, replica.MaxChanges+1)},
		"out of order":     {After: 2, Next: 9, Changes: []replica.Change{replicatest.Good(4, "01"), replicatest.Good(3, "02")}},
		"beyond next":      {After: 2, Next: 3, Changes: []replica.Change{replicatest.Good(4, "01")}},
		"no serial":        {After: 2, Next: 3, Changes: []replica.Change{replicatest.Good(3, "xyz")}},
		"list and changes": {After: 2, Next: 3, Changes: []replica.Change{replicatest.Good(3, "01")}, CRL: replicatest.List(1, "list")},
		"empty list":       {After: 2, Next: 3, CRL: replicatest.List(1, "")},
		"no revision":      {After: 2, Next: 2, Config: &replica.Config{}},
	} {
		if _, err := remote.Push(t.Context(), bad); !errors.Is(err, replica.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func TestNodeThatIsAheadIsNotFed(t *testing.T) {
	c, a := newCore(t), newEnd(t, "val-a")
	if _, err := a.node.Push(t.Context(), replica.Push{Next: 1_000_000}); err != nil {
		t.Fatal(err)
	}
	c.issue(t, 1)
	c.declare(t, a)
	s, _ := c.sender(t, a)
	eventually(t, "an error that names the cure", func() bool {
		status, _ := s.Status("val-a")
		return status.State == replica.Unreachable && strings.Contains(status.LastError, "remove its replica file")
	})
	if a.node.Known().Revision != 0 {
		t.Error("the node was fed from another ledger")
	}
}

func TestOnlyPeersMayPush(t *testing.T) {
	a := newEnd(t, "val-a")
	stranger := linktest.New(t, linktest.Options{Client: "ca", Server: "val-a", Log: logr.Discard()})
	for name, change := range map[string]func(*link.ClientConfig, link.ClientConfig){
		"message key that the node does not know":   func(c *link.ClientConfig, other link.ClientConfig) { c.Key = other.Key },
		"transport certificate of another CA":       func(c *link.ClientConfig, other link.ClientConfig) { c.TLS = other.TLS },
		"message key of the node that ca knows not": func(c *link.ClientConfig, other link.ClientConfig) { c.Peers = other.Peers },
	} {
		t.Run(name, func(t *testing.T) {
			key, err := link.EnsureKey(stranger.Dir + "/ca.key")
			if err != nil {
				t.Fatal(err)
			}
			client := a.client
			change(&client, link.ClientConfig{Key: key, TLS: stranger.Folder("ca").ClientTLS("val-a"), Peers: stranger.Peers("ca")})
			client.Attempts = 1
			remote, err := replica.NewRemote(client)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if _, err := remote.State(ctx); err == nil {
				t.Error("was answered")
			}
		})
	}
	if got := a.node.Known(); !got.PushedAt.IsZero() {
		t.Errorf("a stranger's push was taken: %+v", got)
	}
}

func TestGracefulStopEndsSoon(t *testing.T) {
	c, a := newCore(t), newEnd(t, "val-a")
	c.declare(t, a)
	a.pair.Stop() // nobody answers
	s, stop := c.sender(t, a)
	eventually(t, "unreachable", func() bool { st, _ := s.Status("val-a"); return st.State == replica.Unreachable })
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the sender took %s to stop", took)
	}
}

func TestLongestListCrossesTheLink(t *testing.T) {
	a := newEnd(t, "val-a")
	remote, err := replica.NewRemote(a.client)
	if err != nil {
		t.Fatal(err)
	}
	list := replicatest.List(1, strings.Repeat("x", replica.MaxCRL))
	if _, err := remote.Push(t.Context(), replica.Push{Next: 1, CRL: list}); err != nil {
		t.Fatal(err)
	}
	if got, err := a.store.CRL(t.Context(), list.Issuer, 0); err != nil || len(got.DER) != replica.MaxCRL {
		t.Errorf("the node holds a list of %d bytes, %v, want %d", len(got.DER), err, replica.MaxCRL)
	}
	list = replicatest.List(2, strings.Repeat("x", replica.MaxCRL+1))
	if _, err := remote.Push(t.Context(), replica.Push{After: 1, Next: 2, CRL: list}); !errors.Is(err, replica.ErrInvalid) {
		t.Errorf("a longer list: %v, want ErrInvalid", err)
	}
}

func TestNodeThatMissesNothingKnowsThatItIsRight(t *testing.T) {
	c, a := newCore(t), newEnd(t, "val-a")
	c.issue(t, 1)
	c.declare(t, a)
	s := replica.NewSender(replica.SenderConfig{Feed: c.store, Changed: c.authorities.Changed, Source: c.responders, Log: logr.Discard(), Heartbeat: 50 * time.Millisecond,
		Dial: func(replica.Target) (replica.Remote, error) { return replica.NewRemote(a.client) }})
	stop := runFor(t, s.Run)
	c.inStep(t, s, a)
	before := a.node.Known()
	eventually(t, "as of a later time with no change", func() bool {
		known := a.node.Known()
		if known.Position != before.Position { // the certificate of its responder came
			before = known
		}
		return known.AsOf.Sub(before.AsOf) > 200*time.Millisecond && time.Since(known.AsOf) < time.Second
	})
	stop() // the core is switched off
	before = a.node.Known()
	time.Sleep(200 * time.Millisecond)
	a.restart(t)
	if known := a.node.Known(); !known.AsOf.Equal(before.AsOf) {
		t.Errorf("without pushes and after a restart it is as of %s, want %s", known.AsOf, before.AsOf)
	}
}
