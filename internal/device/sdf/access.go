//go:build cgo

package sdf

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/terrace-pki/terrace/internal/device"
)

// credential is one Device's access password and what became of it at each index.
type credential struct {
	mu       sync.Mutex // held over the call: a wrong password is tried by one session
	password []byte
	proven   map[uint32]bool
	refused  map[uint32]*device.PINError // never tried again
}

func newCredential(password []byte) *credential {
	return &credential{password: bytes.Clone(password), proven: map[uint32]bool{}, refused: map[uint32]*device.PINError{}}
}

func (c *credential) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.password)
	c.password = nil
}

// access has the session use the private key at an index. The right belongs to the
// session (GB/T 36322), so that each one asks for it once.
func (c *credential) access(s *session, index uint32) error {
	if s.rights[index] {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refused[index]; err != nil {
		return err
	}
	if c.password == nil {
		return errClosed
	}
	err := s.library.calls.accessRight(s.value, index, c.password)
	var code Code
	switch {
	case err == nil:
		s.rights[index], c.proven[index] = true, true
		return nil
	case !errors.As(err, &code):
		return err
	case code == codeKeyNotExist:
		return fmt.Errorf("key index %d holds no signing key pair: %w", index, device.ErrKeyNotFound)
	case refusesPassword(code, c.proven[index]):
		c.refused[index] = &device.PINError{Device: fmt.Sprintf("%s, key index %d, %v", s.library.path, index, code)}
		return c.refused[index]
	}
	return err
}
