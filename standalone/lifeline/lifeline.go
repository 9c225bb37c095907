// Package lifeline ends a child process when its parent is gone.
//
// A parent that was killed sends no signal. What it cannot keep open is the
// write end of the pipe on the child's standard input: the child reads that
// pipe, and end of file means that nobody waits for it any more.
package lifeline

import (
	"context"
	"errors"
	"io"
)

// ErrClosed is the cancellation cause of a context whose lifeline was cut.
var ErrClosed = errors.New("the parent process closed the lifeline")

// Context returns a context that is cancelled, with ErrClosed as its cause,
// once r ends or fails. What r delivers is thrown away. The goroutine that
// reads r lasts as long as r does.
func Context(parent context.Context, r io.Reader) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		_, _ = io.Copy(io.Discard, r) // end and failure mean the same
		cancel(ErrClosed)
	}()
	return ctx, func() { cancel(nil) }
}
