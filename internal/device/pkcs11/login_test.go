//go:build cgo

package pkcs11

import (
	"errors"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

func TestWrongPINIsTriedOnce(t *testing.T) {
	token := newToken(t, tokenOptions{pinTries: "3"})
	d := openToken(t, token, func(c *Config) { c.PIN = []byte("wrong-pin") })
	for i := range 5 {
		_, err := d.Info(t.Context())
		var pinErr *device.PINError
		if !errors.As(err, &pinErr) || pinErr.Locked || pinErr.LastTry {
			t.Fatalf("Info, call %d: %v, want a plain *device.PINError", i, err)
		}
		if errors.Is(err, device.ErrUnavailable) || strings.Contains(err.Error(), "wrong-pin") {
			t.Fatalf("Info: %v; a refused PIN is no outage and never part of the error", err)
		}
		if _, err := d.Key(t.Context(), "ca"); !errors.As(err, &pinErr) {
			t.Fatalf("Key: %v, want *device.PINError", err)
		}
	}
	m, slot := raw(t, d)
	flags := tokenFlags(t, m, slot)
	if flags&pkcs11.CKF_USER_PIN_COUNT_LOW == 0 || flags&(pkcs11.CKF_USER_PIN_FINAL_TRY|pkcs11.CKF_USER_PIN_LOCKED) != 0 {
		t.Errorf("flags %#x after 10 calls with 3 tries: want exactly one try spent", flags)
	}
}

func TestLastTryAndLocked(t *testing.T) {
	token := newToken(t, tokenOptions{pinTries: "2"})
	right := openToken(t, token, nil)
	m, slot := raw(t, right)
	h := rawSession(t, m, slot)
	defer m.CloseSession(h)
	spend := func() {
		if err := m.Login(h, pkcs11.CKU_USER, "wrong-pin"); err == nil {
			t.Fatal("the token took a wrong PIN")
		}
	}

	spend()
	if tokenFlags(t, m, slot)&pkcs11.CKF_USER_PIN_FINAL_TRY == 0 {
		t.Fatal("the token does not announce its last try")
	}
	for _, pin := range []string{"wrong-pin", token.PIN} {
		d := openToken(t, token, func(c *Config) { c.PIN = []byte(pin) })
		_, err := d.Info(t.Context())
		var pinErr *device.PINError
		if !errors.As(err, &pinErr) || !pinErr.LastTry {
			t.Errorf("Info: %v, want PINError with LastTry", err)
		}
	}
	if flags := tokenFlags(t, m, slot); flags&pkcs11.CKF_USER_PIN_FINAL_TRY == 0 || flags&pkcs11.CKF_USER_PIN_LOCKED != 0 {
		t.Fatalf("flags %#x: the last try was touched", flags)
	}

	spend()
	_, err := right.Info(t.Context())
	var pinErr *device.PINError
	if !errors.As(err, &pinErr) || !pinErr.Locked {
		t.Errorf("Info of a locked token: %v, want PINError with Locked", err)
	}
}

// TestLastTryPasses: once somebody logged in with the right PIN elsewhere, a
// Device that held back goes on by itself.
func TestLastTryPasses(t *testing.T) {
	token := newToken(t, tokenOptions{pinTries: "2"})
	d := openToken(t, token, nil)
	m, slot := raw(t, d)
	h := rawSession(t, m, slot)
	defer m.CloseSession(h)
	if err := m.Login(h, pkcs11.CKU_USER, "wrong-pin"); err == nil {
		t.Fatal("the token took a wrong PIN")
	}
	var pinErr *device.PINError
	if _, err := d.Info(t.Context()); !errors.As(err, &pinErr) || !pinErr.LastTry {
		t.Fatalf("Info: %v, want PINError with LastTry", err)
	}
	if err := errors.Join(m.Login(h, pkcs11.CKU_USER, token.PIN), m.Logout(h)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Info(t.Context()); err != nil {
		t.Errorf("Info after the counter was reset: %v", err)
	}
}

// TestLoginIsNotBorrowed: a process that is logged in does not make a wrong PIN right.
func TestLoginIsNotBorrowed(t *testing.T) {
	token := newToken(t, tokenOptions{})
	first := openToken(t, token, nil)
	key := mustKey(t, first, "ca")
	wrong := openToken(t, token, func(c *Config) { c.PIN = []byte("wrong-pin") })
	var pinErr *device.PINError
	if _, err := wrong.Key(t.Context(), "ca"); !errors.As(err, &pinErr) {
		t.Errorf("Key with a wrong PIN beside a logged-in device: %v, want *device.PINError", err)
	}
	mustSign(t, key)
	same := openToken(t, token, nil)
	if _, err := same.Key(t.Context(), "ca"); err != nil {
		t.Errorf("Key with the same PIN: %v", err)
	}
	mustSign(t, key)
}
