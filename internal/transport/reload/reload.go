// Package reload keeps what was read from files, and reads again when one of
// them was replaced.
package reload

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Interval is the least time between two looks at the files.
const Interval = 2 * time.Second

// Files holds a value read from files. It looks at them when it is asked for
// the value, so it needs no goroutine. Symbolic links are followed: a mounted
// Kubernetes Secret is replaced by turning its ..data link.
//
// All methods may be used concurrently.
type Files[T any] struct {
	paths []string
	read  func() (T, error)

	mu     sync.Mutex
	value  T
	err    error
	stamps []os.FileInfo
	looked time.Time
}

// Open reads the value once, or fails. read is called again, never twice at the
// same time, when one of the paths has another file, size or time than before.
func Open[T any](read func() (T, error), paths ...string) (*Files[T], error) {
	f := &Files[T]{paths: paths, read: read, looked: time.Now()}
	f.stamps = f.stat() // before reading: a change in between is seen at the next look
	var err error
	// A set of files that is being replaced does not fit together for a moment.
	for wait := 10 * time.Millisecond; ; wait *= 4 {
		if f.value, err = read(); err == nil {
			return f, nil
		}
		if errors.Is(err, os.ErrNotExist) || wait > time.Second {
			return nil, err
		}
		time.Sleep(wait)
	}
}

// Get returns the value that was read last. When the files can no longer be
// read that is the one from before: a process goes on with what it was told.
func (f *Files[T]) Get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	return f.value
}

// Err says why the files, as they are now, could not be read; nil when Get
// returns what they hold.
func (f *Files[T]) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look()
	if f.err != nil {
		return fmt.Errorf("read again, going on with what was read before: %w", f.err)
	}
	return nil
}

func (f *Files[T]) look() {
	if time.Since(f.looked) < Interval {
		return
	}
	f.looked = time.Now()
	stamps := f.stat()
	// After a failure the files are read at every look: a permission may be
	// mended without leaving a trace in the stamps.
	if f.err == nil && same(stamps, f.stamps) {
		return
	}
	f.stamps = stamps
	value, err := f.read()
	if f.err = err; err == nil {
		f.value = value
	}
}

func (f *Files[T]) stat() []os.FileInfo {
	stamps := make([]os.FileInfo, len(f.paths))
	for i, p := range f.paths {
		stamps[i], _ = os.Stat(p) // nil stands for any failure; read says which
	}
	return stamps
}

func same(a, b []os.FileInfo) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) {
			return false
		}
		if a[i] != nil && (!os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime())) {
			return false
		}
	}
	return true
}
