package directory

import (
	"context"
	"sync"
)

// readAhead reads parts one after the other and has each written, in order, while
// the next is read: a server that commits one change at a time then never waits
// for us. At most one part is read ahead of the one that is written, so memory
// does not grow with their number. It ends with the first error of either, and no
// read is under way any more when it returns.
//
// What a part reads must not be what the part before writes.
func readAhead[Part, Read any](ctx context.Context, parts []Part, read func(context.Context, Part) (Read, error), write func(Part, Read) error) error {
	type answer struct {
		read Read
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan answer)
	var group sync.WaitGroup
	group.Go(func() {
		for _, part := range parts {
			r, err := read(ctx, part)
			select {
			case answers <- answer{r, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	defer group.Wait()
	defer cancel()
	for _, part := range parts {
		var a answer
		select {
		case a = <-answers: // of part: one reader gives them in order
		case <-ctx.Done():
			return ctx.Err()
		}
		if a.err != nil {
			return a.err
		}
		if err := write(part, a.read); err != nil {
			return err
		}
	}
	return nil
}
