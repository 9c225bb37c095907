package authoritytest

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
)

// nothing is a store whose every call succeeds and is counted; the suite proves
// the real ones, this one the wrapper.
type nothing struct {
	authority.Store
	accepted int
}

func (n *nothing) Accept(context.Context, authority.Accepted) error { n.accepted++; return nil }

func (n *nothing) Count(context.Context, authority.IssuerKey) (int64, error) { return 7, nil }

func TestFaulty(t *testing.T) {
	inner := &nothing{}
	f := NewFaulty(inner)
	boom := errors.New("boom")
	accept := func() error { return f.Accept(t.Context(), authority.Accepted{}) }

	f.FailBefore("Accept", boom)
	if err := accept(); !errors.Is(err, boom) || inner.accepted != 0 {
		t.Errorf("before: %v, %d calls made, want none", err, inner.accepted)
	}
	f.FailAfter("Accept", boom)
	if err := accept(); !errors.Is(err, boom) || inner.accepted != 1 {
		t.Errorf("after: %v, %d calls made, want 1", err, inner.accepted)
	}
	if err := accept(); err != nil || inner.accepted != 2 {
		t.Errorf("a fault is used once: %v, %d calls made", err, inner.accepted)
	}
	f.FailAfter("Count", boom)
	if n, err := f.Count(t.Context(), authority.IssuerKey{}); n != 0 || !errors.Is(err, boom) {
		t.Errorf("count: %d, %v", n, err)
	}
	f.FailBefore("Ping", boom)
	if f.Pending() != 1 {
		t.Errorf("%d faults pending", f.Pending())
	}
	defer func() {
		if recover() == nil {
			t.Error("a method that does not exist is taken")
		}
	}()
	f.FailBefore("Recordintent", boom)
}

// Every method of the interface that can fail has a wrapper of its own: on the
// embedded nil store the call would panic.
func TestFaultyCoversTheInterface(t *testing.T) {
	boom := errors.New("boom")
	methods := reflect.TypeFor[authority.Store]()
	for m := range methods.Methods() {
		if m.Name == "Close" {
			continue
		}
		f := NewFaulty(nil)
		f.FailBefore(m.Name, boom)
		call := reflect.ValueOf(f).MethodByName(m.Name)
		args := make([]reflect.Value, call.Type().NumIn())
		for i := range args {
			args[i] = reflect.Zero(call.Type().In(i))
		}
		out := call.Call(args)
		if err, _ := out[len(out)-1].Interface().(error); !errors.Is(err, boom) {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}
