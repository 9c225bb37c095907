package lifeline_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/standalone/lifeline"
)

func TestContext(t *testing.T) {
	r, w := io.Pipe()
	ctx, cancel := lifeline.Context(t.Context(), r)
	defer cancel()

	if _, err := w.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	if err := ctx.Err(); err != nil {
		t.Fatalf("context ended while the parent was there: %v", err)
	}
	w.Close()
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("context goes on after the lifeline was cut")
	}
	if got := context.Cause(ctx); !errors.Is(got, lifeline.ErrClosed) {
		t.Errorf("cause: got %v, want %v", got, lifeline.ErrClosed)
	}
}
