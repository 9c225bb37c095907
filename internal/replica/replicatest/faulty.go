package replicatest

import (
	"context"
	"sync"
	"time"

	"github.com/terrace-pki/terrace/internal/replica"
)

// Faulty is a store whose Apply fails on demand, before it is made (failed, and
// not persisted) or after it (failed, but persisted).
type Faulty struct {
	replica.Store

	mu            sync.Mutex
	before, after error
}

// FailBefore makes the next Apply fail without being made.
func (f *Faulty) FailBefore(err error) { f.set(err, nil) }

// FailAfter makes the next Apply fail although it was made.
func (f *Faulty) FailAfter(err error) { f.set(nil, err) }

func (f *Faulty) set(before, after error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

// Apply implements replica.Store.
func (f *Faulty) Apply(ctx context.Context, p replica.Push, at time.Time) (replica.State, error) {
	f.mu.Lock()
	before, after := f.before, f.after
	f.before, f.after = nil, nil
	f.mu.Unlock()
	if before != nil {
		return replica.State{}, before
	}
	state, err := f.Store.Apply(ctx, p, at)
	if err == nil && after != nil {
		return replica.State{}, after
	}
	return state, err
}
