package authoritytest

import (
	"context"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Perform may fail on demand.
func (f *Faulty) Perform(ctx context.Context, act authority.Act) (authority.Performed, error) {
	return answer(f, "Perform", func() (authority.Performed, error) { return f.Store.Perform(ctx, act) })
}

// FindAct may fail on demand.
func (f *Faulty) FindAct(ctx context.Context, kind, namespace, name string) (authority.Performed, error) {
	return answer(f, "FindAct", func() (authority.Performed, error) { return f.Store.FindAct(ctx, kind, namespace, name) })
}

// Sequence may fail on demand.
func (f *Faulty) Sequence(ctx context.Context, limit int) (int, error) {
	return answer(f, "Sequence", func() (int, error) { return f.Store.Sequence(ctx, limit) })
}

// Changes may fail on demand.
func (f *Faulty) Changes(ctx context.Context, after int64, limit int) (changes []authority.Change, next int64, err error) {
	next = after
	changes, err = answer(f, "Changes", func() ([]authority.Change, error) {
		all, n, err := f.Store.Changes(ctx, after, limit)
		next = n
		return all, err
	})
	if err != nil {
		return nil, after, err
	}
	return changes, next, nil
}

// Head may fail on demand.
func (f *Faulty) Head(ctx context.Context) (int64, error) {
	return answer(f, "Head", func() (int64, error) { return f.Store.Head(ctx) })
}

// Anchor may fail on demand.
func (f *Faulty) Anchor(ctx context.Context, seq int64) ([]byte, error) {
	return answer(f, "Anchor", func() ([]byte, error) { return f.Store.Anchor(ctx, seq) })
}

// Unsequenced may fail on demand.
func (f *Faulty) Unsequenced(ctx context.Context) (int64, error) {
	return answer(f, "Unsequenced", func() (int64, error) { return f.Store.Unsequenced(ctx) })
}

// Position may fail on demand.
func (f *Faulty) Position(ctx context.Context, consumer string) (int64, error) {
	return answer(f, "Position", func() (int64, error) { return f.Store.Position(ctx, consumer) })
}

// SetPosition may fail on demand.
func (f *Faulty) SetPosition(ctx context.Context, consumer string, seq int64) error {
	return f.call("SetPosition", func() error { return f.Store.SetPosition(ctx, consumer, seq) })
}
