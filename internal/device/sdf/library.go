//go:build cgo

package sdf

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/terrace-pki/terrace/internal/device"
)

// drainWait bounds the wait for the calls into a lost device before it is opened
// anew: some libraries refuse a second SDF_OpenDevice, the others need no wait.
const drainWait = 2 * time.Second

// libraries is the one global of this package: a library has one state in a process.
var libraries = struct {
	sync.Mutex
	byPath map[string]*library
}{byPath: map[string]*library{}}

// library is a loaded library and its device, which all Devices on it share.
type library struct {
	path  string
	calls functions
	users int // guarded by libraries

	mu      sync.Mutex
	current *handle // nil: not open
	lost    *handle // the last one that was given up
}

// handle is what SDF_OpenDevice returned once.
type handle struct {
	value    uintptr
	sessions int // open ones; guarded by library.mu
	lost     bool
	closed   chan struct{} // after SDF_CloseDevice
}

// loadLibrary loads the library, or joins its other users.
func loadLibrary(path string) (*library, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("load SDF library: %w: %w", device.ErrUnavailable, err)
	}
	libraries.Lock()
	defer libraries.Unlock()
	l := libraries.byPath[resolved]
	if l == nil {
		if info, err := os.Stat(resolved); err != nil || !info.Mode().IsRegular() {
			return nil, fmt.Errorf("load SDF library %s: %w: not a regular file", path, device.ErrUnavailable)
		}
		calls, err := load(resolved)
		if err != nil {
			return nil, fmt.Errorf("load SDF library %s: %w: %w", path, device.ErrUnavailable, err)
		}
		l = &library{path: path, calls: calls}
		libraries.byPath[resolved] = l
	}
	l.users++
	return l, nil
}

// leave closes the device when its last user goes.
func (l *library) leave() error {
	libraries.Lock()
	defer libraries.Unlock()
	l.users--
	if l.users > 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil {
		return nil
	}
	return l.loseLocked(l.current)
}

// openSession opens a session, and the device before it when none is open. The
// handle comes back also with the error of SDF_OpenSession.
func (l *library) openSession() (*handle, uintptr, error) {
	l.awaitDrain()
	l.mu.Lock()
	if l.current == nil {
		value, err := l.calls.openDevice()
		if err != nil {
			l.mu.Unlock()
			return nil, 0, err
		}
		l.current = &handle{value: value, closed: make(chan struct{})}
	}
	h := l.current
	h.sessions++
	l.mu.Unlock()

	session, err := l.calls.openSession(h.value)
	if err != nil {
		l.mu.Lock()
		_ = l.leftLocked(h) // the handle's own error says more
		l.mu.Unlock()
		return h, 0, err
	}
	return h, session, nil
}

func (l *library) awaitDrain() {
	l.mu.Lock()
	lost := l.lost
	l.mu.Unlock()
	if lost == nil {
		return
	}
	timeout := time.NewTimer(drainWait)
	defer timeout.Stop()
	select {
	case <-lost.closed:
	case <-timeout.C:
	}
}

func (l *library) closeSession(h *handle, session uintptr) {
	_ = l.calls.closeSession(session) // lost ones cannot be closed, and need not
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.leftLocked(h)
}

// lose gives a device up; it is closed when its last session is.
func (l *library) lose(h *handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == h {
		_ = l.loseLocked(h) // it is lost already
	}
}

func (l *library) loseLocked(h *handle) error {
	l.current, l.lost, h.lost = nil, h, true
	if h.sessions == 0 {
		return l.closeLocked(h)
	}
	return nil
}

func (l *library) leftLocked(h *handle) error {
	h.sessions--
	if h.lost && h.sessions == 0 {
		return l.closeLocked(h)
	}
	return nil
}

func (l *library) closeLocked(h *handle) error {
	defer close(h.closed)
	if err := l.calls.closeDevice(h.value); err != nil {
		return fmt.Errorf("close device of SDF library %s: %w", l.path, err)
	}
	return nil
}

func (l *library) isLost(h *handle) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return h.lost
}
