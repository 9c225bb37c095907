package directory_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
)

// One batch of several parts: a CA comes after its certificates, and what was
// issued in an early part is revoked in a late one.
func TestOrderInOneBatch(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	var batch, want []directory.Publication
	for i := range 300 {
		batch = append(batch, ca.Publication(t, i+1, directory.StateIssued))
	}
	for i := range 100 {
		revoked := *batch[i].Certificate
		revoked.State = directory.StateRevoked
		batch = append(batch, directory.Publication{CA: ca.Name, Certificate: &revoked})
	}
	batch = append(batch, ca.Authority(nil))
	want = append(append(want, ca.Authority(nil)), batch[100:300]...)
	n, err := f.publisher.Publish(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if n.Added != 200 || n.Deleted != 0 {
		t.Errorf("published %+v, want 200 added: the last state of each counts", n)
	}
	if drift, err := f.publisher.Audit(t.Context(), desired(want...)); err != nil || drift.Total() != 0 {
		t.Errorf("master against the last states: %+v, %v", drift, err)
	}
	f.push(t)
	f.same(t)
}

// What Publish confirmed survives a crash of the master, what it was at is
// published by giving it again, and that once more writes nothing.
func TestCrashOfTheMasterLosesNothing(t *testing.T) {
	for name, crash := range map[string]func(*testing.T, *slapdtest.Server, interface{ Close() error }){
		"server": func(t *testing.T, s *slapdtest.Server, _ interface{ Close() error }) { s.Kill(t) },
		"connection": func(t *testing.T, _ *slapdtest.Server, c interface{ Close() error }) {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			master := slapdtest.Start(t, slapd.Master, nil)
			layout := newLayout(t, directory.NamingSerial, directory.Business)
			conn := master.Client(t, slapdtest.Writer)
			p := directory.NewPublisher(layout, conn)
			ca := directorytest.NewCA(t, "businessca-province-g1")
			confirmed := []directory.Publication{ca.Authority(nil)}
			for i := range 50 {
				confirmed = append(confirmed, ca.Publication(t, i+1, directory.StateIssued))
			}
			if _, err := p.Publish(t.Context(), confirmed); err != nil {
				t.Fatal(err)
			}
			var batch []directory.Publication
			for i := range 1000 {
				batch = append(batch, ca.Publication(t, 100+i, directory.StateIssued))
			}
			failed := make(chan error, 1)
			go func() {
				_, err := p.Publish(t.Context(), batch)
				failed <- err
			}()
			watch := master.Client(t, slapdtest.Operator)
			third := "serialNumber=" + string(directorytest.Serial(102)) + ",ou=" + ca.Name + "," + base
			for there := false; !there; time.Sleep(time.Millisecond) {
				entries, err := watch.Get(t.Context(), []string{third})
				if err != nil {
					t.Fatal(err)
				}
				there = entries[0] != nil
			}
			crash(t, master, conn)
			if err := <-failed; !errors.Is(err, directory.ErrUnavailable) {
				t.Errorf("publish: got %v, want ErrUnavailable", err)
			}
			if master.Process == nil {
				master.Restart(t)
			}
			if n := len(dump(t, watch)); n < len(confirmed)+1 || n >= len(confirmed)+1+len(batch) {
				t.Fatalf("after the crash: %d entries, want the %d confirmed ones and a part of the %d", n, len(confirmed)+1, len(batch))
			}
			p = directory.NewPublisher(layout, master.Client(t, slapdtest.Writer))
			if n, err := p.Publish(t.Context(), confirmed); err != nil || n.Unchanged != len(confirmed) {
				t.Errorf("confirmed ones again: %+v, %v, want all unchanged", n, err)
			}
			n, err := p.Publish(t.Context(), batch)
			if err != nil || n.Added == 0 || n.Unchanged == 0 || n.Added+n.Unchanged != len(batch) {
				t.Errorf("the batch again: %+v, %v, want what is missing to be added and the rest unchanged", n, err)
			}
			n, err = p.Publish(t.Context(), batch)
			if diff := cmp.Diff(directory.Published{Unchanged: len(batch)}, n); err != nil || diff != "" {
				t.Errorf("once more: %v %s", err, diff)
			}
		})
	}
}

// A slave that is killed in the middle of a push has all of it in the end, and
// nothing of that is drift.
func TestCrashOfASlaveLosesNothing(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil))
	f.push(t)
	var batch []directory.Publication
	for i := range 400 {
		batch = append(batch, ca.Publication(t, i+1, directory.StateIssued))
	}
	f.publish(t, batch...)
	failed := make(chan error, 1)
	go func() { failed <- f.pusher.Push(t.Context(), "slave-1") }()
	for !shows(t, f.edit[0], 3) {
		time.Sleep(time.Millisecond)
	}
	f.slaves[0].Kill(t)
	if err := <-failed; !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("push: got %v, want ErrUnavailable", err)
	}
	f.slaves[0].Restart(t)
	f.push(t)
	f.same(t)
	if s := f.pusher.Status()[0]; s.Drift.Total() != 0 || !s.InSync {
		t.Errorf("status %+v, want neither drift nor lag", s)
	}
}
