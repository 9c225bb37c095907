package directory_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
)

// withoutLog is a master whose log the account cannot see.
type withoutLog struct{ directory.Server }

func (withoutLog) Changes(context.Context, directory.Cursor, int) (directory.Log, error) {
	return directory.Log{}, directory.ErrNoLog
}

func TestMasterWithoutLogIsCompared(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil), ca.Publication(t, 1, directory.StateIssued))
	now := time.Now()
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: withoutLog{f.master.Client(t, slapdtest.Replicator)},
		CompareInterval: time.Hour, Now: func() time.Time { return now },
		Slaves: []directory.Slave{{Name: "s", Server: f.edit[0]}}})
	if err != nil {
		t.Fatal(err)
	}
	push := func(want int) {
		t.Helper()
		if err := p.Push(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		if got := len(dump(t, f.edit[0])); got != want {
			t.Errorf("slave has %d entries, want %d", got, want)
		}
	}
	push(3)
	f.publish(t, ca.Publication(t, 2, directory.StateIssued))
	push(3) // not before the interval is over
	now = now.Add(time.Hour)
	push(4)
}

func TestLostCursorIsNoDrift(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil), ca.Publication(t, 1, directory.StateIssued))
	f.cursors.Save("slave-1", "20010101000000.000000Z#000000#001#000000")
	f.cursors.Save("slave-2", "what an earlier version wrote")
	f.push(t)
	f.same(t)
	for _, s := range f.pusher.Status() {
		if s.Drift.Total() != 0 || !s.InSync || s.Pushed != 3 {
			t.Errorf("got %+v, want 3 pushed and no drift", s)
		}
	}
}

// busy is a master that changes just before each listing.
type busy struct {
	directory.Server
	change func()
}

func (b busy) Walk(ctx context.Context, base string, yield func(directory.Entry) error) error {
	b.change()
	return b.Server.Walk(ctx, base, yield)
}

func TestChangesDuringAComparisonAreNoDrift(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	n := 1
	f.publish(t, ca.Authority(nil), ca.Publication(t, n, directory.StateIssued))
	master := busy{f.master.Client(t, slapdtest.Replicator), func() {
		f.publish(t, ca.Publication(t, n, directory.StateRevoked), ca.Publication(t, n+1, directory.StateIssued))
		n++
	}}
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: master, Slaves: []directory.Slave{{Name: "s", Server: f.edit[0]}, {Name: "t", Server: f.edit[1]}}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for _, s := range []string{"s", "t"} {
			if err := p.Compare(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range p.Status() {
		if s.Drift.Total() != 0 || !s.InSync {
			t.Errorf("got %+v, want no drift", s)
		}
	}
	if err := p.Push(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	f.push(t)
	f.same(t)
}

// hanging is a slave that does not answer until ctx ends.
type hanging struct{ directory.Server }

func (hanging) Get(ctx context.Context, _ []string) ([]*directory.Entry, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hanging) Walk(ctx context.Context, _ string, _ func(directory.Entry) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestSlowSlaveDoesNotHoldUpOthers(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil))
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: f.master.Client(t, slapdtest.Replicator), Interval: 10 * time.Millisecond,
		Slaves: []directory.Slave{{Name: "slow", Server: hanging{f.edit[0]}}, {Name: "good", Server: f.edit[1]}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	f.publish(t, ca.Publication(t, 1, directory.StateIssued))
	for deadline := time.Now().Add(20 * time.Second); len(dump(t, f.edit[1])) != 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the good slave was not pushed to")
		}
	}
	if s := p.Status(); s[0].InSync || !s[1].InSync {
		t.Errorf("got %+v", s)
	}
	stop()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("Run does not end with its context")
	}
}

func TestBadPusherConfig(t *testing.T) {
	server := withoutLog{}
	tests := map[string]directory.PusherConfig{
		"base":       {Base: "x", Master: server},
		"no master":  {Base: base},
		"name twice": {Base: base, Master: server, Slaves: []directory.Slave{{Name: "a", Server: server}, {Name: "a", Server: server}}},
		"no name":    {Base: base, Master: server, Slaves: []directory.Slave{{Server: server}}},
		"interval":   {Base: base, Master: server, Interval: -1},
	}
	for name, c := range tests {
		if _, err := directory.NewPusher(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: server})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Push(t.Context(), "nobody"); err == nil || !strings.Contains(err.Error(), "nobody") || errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
