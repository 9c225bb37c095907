//go:build cgo

package sdf

import (
	"context"
	"errors"

	"github.com/terrace-pki/terrace/internal/device"
)

// session is one open session in the hands of one goroutine.
type session struct {
	library *library
	handle  *handle
	value   uintptr
	rights  map[uint32]bool // indexes whose private key it may use
}

func (s *session) close() {
	for index := range s.rights {
		_ = s.library.calls.releaseRight(s.value, index) // the session ends all the same
	}
	s.library.closeSession(s.handle, s.value)
}

// acquire waits for one of the MaxSessions permits and returns a session, which the
// caller gives back with release. With an error of SDF_OpenSession the handle says
// which device it was.
func (d *Device) acquire(ctx context.Context) (*session, *handle, error) {
	// Of two ready cases select takes either; a cancelled caller must not go on.
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if d.isClosed() { // a hung call may hold every permit
		return nil, nil, errClosed
	}
	select {
	case d.permits <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	s, h, err := d.open()
	if err != nil {
		<-d.permits
		return nil, h, err
	}
	return s, h, nil
}

// open takes an idle session or opens one.
func (d *Device) open() (*session, *handle, error) {
	l, err := d.load()
	if err != nil {
		return nil, nil, err
	}
	for {
		s := d.popIdle()
		if s == nil {
			break
		}
		if !l.isLost(s.handle) {
			return s, s.handle, nil
		}
		s.close()
	}
	h, value, err := l.openSession()
	if err != nil {
		return nil, h, err
	}
	return &session{library: l, handle: h, value: value, rights: map[uint32]bool{}}, h, nil
}

func (d *Device) load() (*library, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	if d.library == nil {
		l, err := loadLibrary(d.cfg.LibraryPath)
		if err != nil {
			return nil, err
		}
		d.library = l
	}
	return d.library, nil
}

func (d *Device) popIdle() *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.idle)
	if n == 0 {
		return nil
	}
	s := d.idle[n-1]
	d.idle = d.idle[:n-1]
	return s
}

func (d *Device) closeIdle() {
	for s := d.popIdle(); s != nil; s = d.popIdle() {
		s.close()
	}
}

// release gives the session and its permit back. After an error of the library
// the session is closed: nothing is known of its state.
func (d *Device) release(s *session, err error) {
	defer func() { <-d.permits }()
	clean := err == nil || errors.Is(err, device.ErrKeyNotFound)
	lost := s.library.isLost(s.handle)
	d.mu.Lock()
	keep := clean && !lost && !d.closed
	if keep {
		d.idle = append(d.idle, s)
	}
	d.mu.Unlock()
	if !keep {
		s.close()
	}
}

// with runs fn in a session. When the session or device turns out to be lost, it
// opens anew and runs fn once more; fn must bear that.
func (d *Device) with(ctx context.Context, fn func(*session) error) error {
	for attempt := 1; ; attempt++ {
		s, h, err := d.acquire(ctx)
		if err == nil {
			err = fn(s)
			d.release(s, err)
		}
		switch reactionTo(err) {
		case final:
			return classify(d.cfg.LibraryPath, err)
		case deviceLost:
			if h != nil {
				d.lose(h)
			}
		}
		d.closeIdle() // they may have lost their rights as this one has
		if attempt == 2 {
			return classify(d.cfg.LibraryPath, err)
		}
	}
}

func (d *Device) lose(h *handle) {
	d.mu.Lock()
	l := d.library
	d.mu.Unlock()
	if l != nil {
		l.lose(h)
	}
}
