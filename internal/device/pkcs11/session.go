//go:build cgo

package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

// connection is what holds until the token is lost: its slot, idle sessions and
// object handles. A Device replaces it as a whole, so that nothing of the old
// one is used again.
type connection struct {
	module *module
	slot   uint
	token  *token

	mu      sync.Mutex
	dropped bool
	idle    []pkcs11.SessionHandle
	handles map[string]pkcs11.ObjectHandle // private keys by label
}

// session is one open session in the hands of one goroutine.
type session struct {
	conn   *connection
	handle pkcs11.SessionHandle
}

// connect returns the current connection, or makes one.
func (d *Device) connect() (*connection, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	if d.conn != nil {
		return d.conn, nil
	}
	if d.module == nil {
		m, err := loadModule(d.cfg.ModulePath)
		if err != nil {
			return nil, err
		}
		d.module = m
	}
	slot, info, err := d.module.findSlot(d.cfg)
	if err != nil {
		return nil, err
	}
	d.info = device.Info{
		Label:        trim(info.Label, 64),
		SerialNumber: trim(info.SerialNumber, 64),
		Model:        trim(info.Model, 64),
	}
	d.conn = &connection{
		module:  d.module,
		slot:    slot,
		token:   d.module.token(slot),
		handles: map[string]pkcs11.ObjectHandle{},
	}
	return d.conn, nil
}

func (d *Device) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

// drop forgets a connection that was lost.
func (d *Device) drop(c *connection) {
	if c == nil {
		return
	}
	d.mu.Lock()
	if d.conn == c {
		d.conn = nil
		d.giveBack()
	}
	d.mu.Unlock()
	c.close()
}

func (c *connection) close() {
	c.mu.Lock()
	idle := c.idle
	c.idle, c.dropped = nil, true
	clear(c.handles)
	c.mu.Unlock()
	for _, h := range idle {
		_ = c.module.ctx.CloseSession(h) // lost ones cannot be closed, and need not
	}
}

// acquire waits for one of the MaxSessions permits and returns a logged-in
// session. The caller gives it back with release.
func (d *Device) acquire(ctx context.Context) (*session, *connection, error) {
	// Of two ready cases select takes either; a cancelled caller must not go on.
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if d.isClosed() { // a hung call may hold every permit
		return nil, nil, errClosed
	}
	for {
		select {
		case d.permits <- struct{}{}:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		conn, err := d.connect()
		var s *session
		if err == nil {
			s, err = d.open(conn)
		}
		if err == nil {
			return s, conn, nil
		}
		if errors.Is(err, pkcs11.Error(pkcs11.CKR_SESSION_COUNT)) && d.withhold() {
			continue // wait for a session of ours
		}
		<-d.permits
		return nil, conn, err
	}
}

// withhold keeps the caller's permit for good when another one is in use: the
// token gives fewer sessions than Config.MaxSessions, so that many are no use. It
// is given back with the next connection, for the token may have been busy
// with another program's sessions.
func (d *Device) withhold() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.permits)-d.withheld <= 1 {
		return false
	}
	d.withheld++
	return true
}

// giveBack returns the permits that were withheld. The caller holds d.mu.
func (d *Device) giveBack() {
	for ; d.withheld > 0; d.withheld-- {
		<-d.permits
	}
}

// open takes an idle session or opens one.
func (d *Device) open(c *connection) (*session, error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		h := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return &session{conn: c, handle: h}, nil
	}
	c.mu.Unlock()
	if err := d.credential.err(); err != nil { // spare the token the session
		return nil, err
	}
	h, err := c.module.ctx.OpenSession(c.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	if err := c.token.logIn(c.module.ctx, c.slot, h, d.credential); err != nil {
		_ = c.module.ctx.CloseSession(h)
		return nil, err
	}
	return &session{conn: c, handle: h}, nil
}

// release gives the session and its permit back. After an error of the module
// the session is closed: an operation may still be active in it.
func (d *Device) release(s *session, err error) {
	defer func() { <-d.permits }()
	s.conn.mu.Lock()
	clean := err == nil || errors.Is(err, device.ErrKeyNotFound) || errors.Is(err, device.ErrKeyExists)
	keep := clean && !s.conn.dropped
	if keep {
		s.conn.idle = append(s.conn.idle, s.handle)
	}
	s.conn.mu.Unlock()
	if !keep {
		_ = s.conn.module.ctx.CloseSession(s.handle)
	}
}

// with runs fn in a session. When the session or token turns out to be lost, it
// connects anew and runs fn once more; fn must bear that.
func (d *Device) with(ctx context.Context, fn func(*session) error) error {
	for attempt := 1; ; attempt++ {
		s, conn, err := d.acquire(ctx)
		if err == nil {
			err = fn(s)
			d.release(s, err)
		}
		if err == nil || !isLost(err) {
			return d.classify(err)
		}
		d.drop(conn)
		if attempt == 2 {
			return d.classify(err)
		}
	}
}
