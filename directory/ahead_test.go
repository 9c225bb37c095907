package directory

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadAhead(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		parts               int
		failRead, failWrite int // number of the part, 0 for none
		wantWritten         []int
		wantErr             error
		wantRead            int
	}{
		"nothing":     {0, 0, 0, nil, nil, 0},
		"all":         {5, 0, 0, []int{1, 2, 3, 4, 5}, nil, 5},
		"read fails":  {5, 3, 0, []int{1, 2}, broken, 3},
		"write fails": {9, 0, 2, []int{1}, broken, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var parts, written []int
			for i := range test.parts {
				parts = append(parts, i+1)
			}
			reads := make(chan int, 10)
			err := readAhead(t.Context(), parts, func(_ context.Context, part int) (int, error) {
				reads <- part
				if part == test.failRead {
					return 0, broken
				}
				return part * 10, nil
			}, func(part, read int) error {
				if read != part*10 {
					t.Errorf("part %d is written with what was read for %d", part, read/10)
				}
				time.Sleep(5 * time.Millisecond) // the reader goes as far ahead as it may
				if n := len(reads); n > part+1 {
					t.Errorf("while part %d is written %d are read", part, n)
				}
				if part == test.failWrite {
					return broken
				}
				written = append(written, part)
				return nil
			})
			if !errors.Is(err, test.wantErr) {
				t.Errorf("got %v, want %v", err, test.wantErr)
			}
			if diff := cmp.Diff(test.wantWritten, written); diff != "" {
				t.Error(diff)
			}
			if n := len(reads); n > test.wantRead {
				t.Errorf("%d are read, want at most %d", n, test.wantRead)
			}
		})
	}
}

// A reader that hangs ends with the context, and so does the whole.
func TestReadAheadEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := readAhead(ctx, []int{1, 2}, func(ctx context.Context, _ int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}, func(int, int) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the context", err)
	}
}
