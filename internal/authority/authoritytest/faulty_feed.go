package authoritytest

import (
	"context"
	"time"

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

// Heads may fail on demand.
func (f *Faulty) Heads(ctx context.Context) (authority.Heads, error) {
	return answer(f, "Heads", func() (authority.Heads, error) { return f.Store.Heads(ctx) })
}

// Renew may fail on demand.
func (f *Faulty) Renew(ctx context.Context, silence time.Duration) (bool, error) {
	return answer(f, "Renew", func() (bool, error) { return f.Store.Renew(ctx, silence) })
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

// Position may fail on demand.
func (f *Faulty) Position(ctx context.Context, consumer string) (int64, error) {
	return answer(f, "Position", func() (int64, error) { return f.Store.Position(ctx, consumer) })
}

// SetPosition may fail on demand.
func (f *Faulty) SetPosition(ctx context.Context, consumer string, seq int64) error {
	return f.call("SetPosition", func() error { return f.Store.SetPosition(ctx, consumer, seq) })
}
