//go:build cgo

package pkcs11

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

// token is what all sessions of the process share of one token: PKCS#11 logs in
// a process, not a session.
type token struct {
	mu sync.Mutex
	// accepted is the fingerprint of the PIN that the token took last.
	accepted []byte

	// generating serialises the making of keys: nothing in PKCS#11 keeps two
	// objects from having one label.
	generating sync.Mutex
}

// credential is one Device's PIN and what became of it.
type credential struct {
	name string // of the token, for errors

	mu          sync.Mutex
	pin         []byte
	fingerprint []byte
	proven      bool             // the token took it
	refused     *device.PINError // the token refused it: never again
}

func newCredential(name string, pin []byte) *credential {
	key := processKey()
	mac := hmac.New(sha256.New, key[:])
	mac.Write(pin)
	return &credential{name: name, pin: append([]byte(nil), pin...), fingerprint: mac.Sum(nil)}
}

// processKey keeps the PINs' fingerprints from being of use outside the process.
var processKey = sync.OnceValue(func() (key [32]byte) {
	_, _ = rand.Read(key[:]) // never fails since Go 1.24
	return key
})

func (c *credential) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.pin)
	c.pin = nil
}

func (c *credential) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused != nil {
		return c.refused
	}
	return nil
}

// logIn logs the process in through a fresh session, unless it is.
//
// A Device's own PIN must have convinced the token once: a process that is
// logged in already, by another Device's PIN, is logged out and in again, or a
// wrong PIN would pass for right. The other Device recovers by its own retry.
func (t *token) logIn(ctx *pkcs11.Ctx, slot uint, session pkcs11.SessionHandle, c *credential) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.refused != nil:
		return c.refused
	case c.pin == nil:
		return errClosed
	}

	state, err := ctx.GetSessionInfo(session)
	if err != nil {
		return fmt.Errorf("read session state: %w", err)
	}
	loggedIn := isUser(state)
	if loggedIn && (c.proven || hmac.Equal(t.accepted, c.fingerprint)) {
		c.proven = true
		return nil
	}

	// The flags are read before every attempt, as another program may have spent the tries.
	info, err := ctx.GetTokenInfo(slot)
	if err != nil {
		return fmt.Errorf("read token flags: %w", err)
	}
	switch {
	case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return &device.PINError{Device: c.name, Locked: true}
	case info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return &device.PINError{Device: c.name, LastTry: true}
	}
	if loggedIn {
		if err := ctx.Logout(session); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN)) {
			return fmt.Errorf("log out another PIN's login: %w", err)
		}
	}

	err = withString(c.pin, func(pin string) error { return ctx.Login(session, pkcs11.CKU_USER, pin) })
	var code pkcs11.Error
	if err != nil && !errors.As(err, &code) {
		return fmt.Errorf("log in: %w", err)
	}
	switch code {
	case pkcs11.CKR_OK:
		c.proven = true
		t.accepted = c.fingerprint
		return nil
	case pkcs11.CKR_USER_ALREADY_LOGGED_IN: // code outside this package was faster; our PIN stays unproven
		return nil
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED:
		c.refused = &device.PINError{Device: c.name}
		return c.refused
	case pkcs11.CKR_PIN_LOCKED:
		c.refused = &device.PINError{Device: c.name, Locked: true}
		return c.refused
	case pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
		return errors.New("log in: the token has no user PIN yet; its security officer must set one")
	default:
		return fmt.Errorf("log in: %w", code)
	}
}

func isUser(info pkcs11.SessionInfo) bool {
	return info.State == pkcs11.CKS_RO_USER_FUNCTIONS || info.State == pkcs11.CKS_RW_USER_FUNCTIONS
}
