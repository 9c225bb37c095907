package directory_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/directory/slapd/slapdtest"
)

// A master that was emptied is filled again: until that is done it removes
// nothing from slaves, but brings what is new; then it also removes.
func TestMasterBeingFilledRemovesNothing(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	all := []directory.Publication{ca.Authority(nil)}
	for i := range 200 {
		all = append(all, ca.Publication(t, i+1, directory.StateIssued))
	}
	f.publish(t, all...)
	f.push(t)
	f.same(t)
	before := dump(t, f.edit[0])

	f.master.Empty(t)
	if n, err := f.publisher.Publish(t.Context(), all[:50]); err != nil || !n.Base {
		t.Fatalf("%+v, %v, want the base to be made", n, err)
	}
	for what, do := range map[string]func(context.Context, string) error{"push": f.pusher.Push, "compare": f.pusher.Compare} {
		if err := do(t.Context(), "slave-1"); !errors.Is(err, directory.ErrFilling) {
			t.Errorf("%s: got %v, want ErrFilling", what, err)
		}
	}
	after := dump(t, f.edit[0])
	delete(before, base) // its mark is gone
	delete(after, base)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the slave lost entries of a master that is being filled: %s", diff)
	}
	if s := f.pusher.Status()[0]; s.InSync || s.Drift.Total() != 0 {
		t.Errorf("status %+v, want neither in sync nor drift", s)
	}
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := directory.SetHeader{Directory: directoryName, Base: base, To: 1, Created: time.Now()}
	if _, _, err := directory.Export(t.Context(), &bytes.Buffer{}, h, key, f.master.Client(t, slapdtest.Replicator), ""); !errors.Is(err, directory.ErrFilling) {
		t.Errorf("export: got %v, want ErrFilling", err)
	}

	// A new one comes meanwhile, and one was revoked while the master was away.
	late := ca.Publication(t, 500, directory.StateIssued)
	if _, err := f.publisher.Publish(t.Context(), []directory.Publication{late}); err != nil {
		t.Fatal(err)
	}
	if err := f.pusher.Push(t.Context(), "slave-1"); !errors.Is(err, directory.ErrFilling) || !shows(t, f.edit[0], 500) {
		t.Errorf("push: %v, want ErrFilling and the new entry on the slave", err)
	}
	now := append([]directory.Publication{late}, all[:200]...) // without number 200
	if drift, err := f.publisher.Audit(t.Context(), desired(now...)); err != nil || drift.Missing == 0 {
		t.Fatalf("audit: %+v, %v", drift, err)
	}
	f.push(t)
	f.same(t)
	if shows(t, f.edit[0], 200) {
		t.Error("the filled master lacks an entry, and the slave still has it")
	}
}

// refilled is a master that was emptied and filled while a slave was compared with
// it: what was read of it in between means nothing.
type refilled struct {
	directory.Server
	walked *bool
}

func (m refilled) Walk(ctx context.Context, base string, yield func(directory.Entry) error) error {
	defer func() { *m.walked = true }()
	return m.Server.Walk(ctx, base, func(e directory.Entry) error {
		if strings.HasPrefix(e.DN, "serialNumber=") {
			return nil
		}
		return yield(e)
	})
}

func (m refilled) Get(ctx context.Context, dns []string) ([]*directory.Entry, error) {
	entries, err := m.Server.Get(ctx, dns)
	if err != nil || !*m.walked {
		return entries, err
	}
	for i, e := range entries {
		switch {
		case dns[i] == base:
			other := directory.NewEntry(e.DN, directory.Attribute{Type: "description", Values: [][]byte{[]byte("terrace: filled AGAIN")}})
			entries[i] = &other
		default:
			entries[i] = nil // it was read before it was filled
		}
	}
	return entries, nil
}

func TestMasterFilledDuringAComparison(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	f.publish(t, ca.Authority(nil), ca.Publication(t, 1, directory.StateIssued))
	f.push(t)
	walked := false
	p, err := directory.NewPusher(directory.PusherConfig{Base: base, Master: refilled{f.master.Client(t, slapdtest.Replicator), &walked},
		Slaves: []directory.Slave{{Name: "s", Server: f.edit[0]}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Compare(t.Context(), "s"); !errors.Is(err, directory.ErrFilling) {
		t.Errorf("compare: got %v, want ErrFilling", err)
	}
	if !shows(t, f.edit[0], 1) {
		t.Error("an entry was removed that the master lacked while it was filled")
	}
}

// A master that is emptied during an audit is not marked as filled by its end.
func TestEmptiedDuringAnAudit(t *testing.T) {
	f := newField(t)
	ca := directorytest.NewCA(t, "businessca-province-g1")
	all := []directory.Publication{ca.Authority(nil)}
	for i := range 20 {
		all = append(all, ca.Publication(t, i+1, directory.StateIssued))
	}
	f.publish(t, all...)
	late := ca.Publication(t, 100, directory.StateIssued)
	marked := func() bool {
		entries, err := f.operator.Get(t.Context(), []string{base})
		if err != nil {
			t.Fatal(err)
		}
		return directory.IsFilled(entries[0])
	}
	if !marked() {
		t.Fatal("the audit of a new master does not mark it")
	}
	reads := 0
	_, err := f.publisher.Audit(t.Context(), func(ctx context.Context, yield func(directory.Publication) error) error {
		for _, p := range all {
			if err := yield(p); err != nil {
				return err
			}
		}
		if reads++; reads == 1 {
			f.master.Empty(t)
			_, err := f.publisher.Publish(ctx, []directory.Publication{late})
			return err
		}
		return nil
	})
	if !errors.Is(err, directory.ErrNoBase) && !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("audit: got %v, want ErrNoBase, or ErrUnavailable of what was read", err)
	}
	if marked() {
		t.Error("marked as filled")
	}
	if _, err := f.publisher.Audit(t.Context(), desired(append(all, late)...)); err != nil || !marked() {
		t.Errorf("the next audit: %v, want it to mark the master", err)
	}
}
