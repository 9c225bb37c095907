package directory

import (
	"context"
	"errors"
)

// applySkippingParents makes changes, but leaves an entry that still has
// entries below it: those are found as extra too, in another part of the same
// comparison or in the next.
func applySkippingParents(ctx context.Context, server Server, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	err := server.Apply(ctx, changes)
	if !errors.Is(err, ErrNotLeaf) {
		return err
	}
	for i, c := range changes {
		err := server.Apply(ctx, changes[i:i+1])
		switch {
		case c.Kind == Delete && errors.Is(err, ErrNotLeaf):
		case c.Kind == Add && errors.Is(err, ErrExists): // made the first time
		case err != nil:
			return err
		}
	}
	return nil
}
