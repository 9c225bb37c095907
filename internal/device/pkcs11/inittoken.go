//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

// InitToken initialises the token in a slot: its label, the security officer's
// PIN and the user's PIN. When a token with the label is there already, in any
// slot, and has a user PIN, nothing is done. A slot whose token carries another
// label is refused, since initialising destroys keys.
//
// It is for development tokens; a real device is initialised by its maker's tool.
func InitToken(modulePath string, slot int64, label string, soPIN, userPIN []byte) error {
	if label == "" || len(label) > maxTokenLabel {
		return fmt.Errorf("initialise token: label %q has %d bytes, must have 1 to %d", label, len(label), maxTokenLabel)
	}
	if slot < 0 {
		return fmt.Errorf("initialise token: slot %d is negative", slot)
	}
	m, err := loadModule(modulePath)
	if err != nil {
		return fmt.Errorf("initialise token: %w", err)
	}
	err = m.initToken(uint(slot), label, soPIN, userPIN)
	if err = errors.Join(err, m.release()); err != nil {
		return fmt.Errorf("initialise token %q in slot %d: %w", label, slot, err)
	}
	return nil
}

// initToken has two commit points. If we die between C_InitToken and C_InitPIN,
// the token has its label and no user PIN; the next call sets the PIN alone.
func (m *module) initToken(slot uint, label string, soPIN, userPIN []byte) error {
	at, info, err := m.findSlot(Config{TokenLabel: label})
	if errors.Is(err, device.ErrUnavailable) {
		if err := m.initSlot(slot, label, soPIN); err != nil {
			return err
		}
		at, info, err = m.findSlot(Config{TokenLabel: label}) // some modules move it to another slot
	}
	if err != nil {
		return err
	}
	if info.Flags&pkcs11.CKF_USER_PIN_INITIALIZED != 0 {
		return nil
	}
	session, err := m.ctx.OpenSession(at, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	defer func() { _ = m.ctx.CloseSession(session) }() // it also logs out
	err = withString(soPIN, func(pin string) error { return m.ctx.Login(session, pkcs11.CKU_SO, pin) })
	if err != nil {
		return fmt.Errorf("log in as security officer: %w", err)
	}
	err = withString(userPIN, func(pin string) error { return m.ctx.InitPIN(session, pin) })
	if err != nil {
		err = fmt.Errorf("set the user's PIN: %w", err)
	}
	return errors.Join(err, m.ctx.Logout(session))
}

func (m *module) initSlot(slot uint, label string, soPIN []byte) error {
	info, err := m.ctx.GetTokenInfo(slot)
	if err != nil {
		return fmt.Errorf("read token: %w", err)
	}
	if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED != 0 {
		return fmt.Errorf("the slot holds token %q; choose another slot, or remove that token with its keys first", trim(info.Label, maxTokenLabel))
	}
	err = withString(soPIN, func(pin string) error { return m.ctx.InitToken(slot, pin, label) })
	if err != nil {
		return fmt.Errorf("C_InitToken: %w", err)
	}
	return nil
}
