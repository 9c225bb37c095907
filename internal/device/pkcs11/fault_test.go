//go:build cgo

package pkcs11

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

// setFault makes the module fail from outside; no lines end all faults.
func setFault(t *testing.T, token testToken, lines ...string) {
	t.Helper()
	path := filepath.Join(token.Dir, "fault")
	if len(lines) == 0 {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return
	}
	// By rename, as the module must not read half a file.
	temp := filepath.Join(t.TempDir(), "fault")
	if err := os.WriteFile(temp, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, path); err != nil {
		t.Fatal(err)
	}
}

// TestLostSessions: what another program or a restarted device does to our
// sessions costs nothing.
func TestLostSessions(t *testing.T) {
	lose := map[string]func(t *testing.T, m *pkcs11.Ctx, slot uint){
		"closed": func(t *testing.T, m *pkcs11.Ctx, slot uint) {
			if err := m.CloseAllSessions(slot); err != nil {
				t.Fatal(err)
			}
		},
		"logged out": func(t *testing.T, m *pkcs11.Ctx, slot uint) {
			h := rawSession(t, m, slot)
			defer m.CloseSession(h)
			if err := m.Logout(h); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, lose := range lose {
		t.Run(name, func(t *testing.T) {
			d := openToken(t, newToken(t, tokenOptions{}), nil)
			key := mustKey(t, d, "ca")
			mustSign(t, key)
			m, slot := raw(t, d)

			lose(t, m, slot)
			mustSign(t, key)

			lose(t, m, slot)
			if _, err := d.Key(t.Context(), "ca"); err != nil {
				t.Errorf("Key: %v; a logged-out session sees no private keys, which is not \"not found\"", err)
			}

			lose(t, m, slot)
			if _, err := d.Key(t.Context(), "none"); !errors.Is(err, device.ErrKeyNotFound) {
				t.Errorf("Key: %v, want ErrKeyNotFound", err)
			}

			lose(t, m, slot)
			if _, err := d.GenerateKey(t.Context(), "ca"); !errors.Is(err, device.ErrKeyExists) {
				t.Errorf("GenerateKey: %v, want ErrKeyExists", err)
			}

			lose(t, m, slot)
			mustSign(t, mustKey(t, d, "new"))

			lose(t, m, slot)
			if _, err := d.Info(t.Context()); err != nil {
				t.Errorf("Info: %v", err)
			}

			lose(t, m, slot)
			if err := d.SelfTest(t.Context()); err != nil {
				t.Errorf("SelfTest: %v", err)
			}
		})
	}
}

// TestLostSessionsUnderLoad: many goroutines lose their sessions at once, again
// and again. A signature may meet two losses and fail, as unavailable; nothing
// else may happen, and nothing may be left behind.
func TestLostSessionsUnderLoad(t *testing.T) {
	d := openToken(t, newToken(t, tokenOptions{}), nil)
	key := mustKey(t, d, "ca")
	m, slot := raw(t, d)
	ctx, cancel := context.WithCancel(t.Context())
	var signed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, err := key.SignMessage(rand.Reader, []byte("message"), nil)
				if err == nil {
					signed.Add(1)
				} else if !errors.Is(err, device.ErrUnavailable) {
					t.Errorf("SignMessage: %v, want success or ErrUnavailable", err)
				}
			}
		})
	}
	for range 10 {
		time.Sleep(20 * time.Millisecond)
		if err := m.CloseAllSessions(slot); err != nil {
			t.Error(err)
		}
	}
	cancel()
	wg.Wait()
	if signed.Load() == 0 {
		t.Error("nothing was signed")
	}
	mustSign(t, key)
	info, err := m.GetTokenInfo(slot)
	if err != nil {
		t.Fatal(err)
	}
	if n := info.SessionCount; n == 0 || n > DefaultMaxSessions {
		t.Errorf("%d sessions are open, want 1 to %d", n, DefaultMaxSessions)
	}
}

// TestBadSignature: the token is told to hash what is a digest already, so that
// each signature is a right one over the wrong bytes.
func TestBadSignature(t *testing.T) {
	d := openToken(t, newToken(t, tokenOptions{}), func(c *Config) {
		c.Profile.Sign, c.Profile.Input = 0x80008103, Digest
	})
	key := mustKey(t, d, "ca")
	sig, err := key.SignMessage(rand.Reader, []byte("message"), nil)
	if !errors.Is(err, device.ErrBadSignature) || sig != nil {
		t.Errorf("SignMessage = %x, %v; want ErrBadSignature and nothing else", sig, err)
	}
	if err := d.SelfTest(t.Context()); !errors.Is(err, device.ErrBadSignature) {
		t.Errorf("SelfTest: %v, want ErrBadSignature", err)
	}
}

// TestDeviceRemoved: pulled out, everything is unavailable; put back, the same
// keys go on without a new Device.
func TestDeviceRemoved(t *testing.T) {
	for _, fault := range []string{"device-removed", "device-error"} {
		t.Run(fault, func(t *testing.T) {
			token := newToken(t, tokenOptions{})
			d := openToken(t, token, nil)
			key := mustKey(t, d, "ca")
			mustSign(t, key)
			for range 2 {
				setFault(t, token, fault)
				_, infoErr := d.Info(t.Context())
				_, keyErr := d.Key(t.Context(), "ca")
				_, noKeyErr := d.Key(t.Context(), "none")
				_, generateErr := d.GenerateKey(t.Context(), "new")
				_, signErr := key.SignMessage(rand.Reader, []byte("message"), nil)
				for name, err := range map[string]error{
					"Info": infoErr, "Key": keyErr, "Key of none": noKeyErr, "GenerateKey": generateErr,
					"SignMessage": signErr, "SelfTest": d.SelfTest(t.Context()),
				} {
					if !errors.Is(err, device.ErrUnavailable) || errors.Is(err, device.ErrKeyNotFound) {
						t.Errorf("%s: %v, want ErrUnavailable", name, err)
					}
				}
				setFault(t, token)
				mustSign(t, key)
			}
			if _, err := d.Key(t.Context(), "new"); !errors.Is(err, device.ErrKeyNotFound) {
				t.Errorf("Key: %v, want ErrKeyNotFound: the device was away when it was to be made", err)
			}
			mustKey(t, d, "new")
		})
	}
}

func TestSessionLostOnce(t *testing.T) {
	token := newToken(t, tokenOptions{})
	d := openToken(t, token, nil)
	key := mustKey(t, d, "ca")
	for range 3 {
		setFault(t, token, "session-lost")
		mustSign(t, key)
	}
	setFault(t, token, "session-lost")
	mustSign(t, mustKey(t, d, "made-meanwhile"))
}

// TestBitFlip: the token spoils each signature for a while.
func TestBitFlip(t *testing.T) {
	token := newToken(t, tokenOptions{})
	d := openToken(t, token, nil)
	key := mustKey(t, d, "ca")
	setFault(t, token, "bad-signature")
	sig, err := key.SignMessage(rand.Reader, []byte("message"), nil)
	if !errors.Is(err, device.ErrBadSignature) || sig != nil {
		t.Errorf("SignMessage = %x, %v; want ErrBadSignature and nothing else", sig, err)
	}
	setFault(t, token)
	mustSign(t, key)
}

// TestCloseWaits: Close neither pulls the module away under a call nor waits for ever.
func TestCloseWaits(t *testing.T) {
	token := newToken(t, tokenOptions{})
	d := openToken(t, token, nil)
	key := mustKey(t, d, "ca")
	setFault(t, token, "delay-ms 300")
	signed := make(chan error)
	go func() {
		_, err := key.SignMessage(rand.Reader, []byte("message"), nil)
		signed <- err
	}()
	for len(d.permits) == 0 { // until the call is in the module
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	if err := d.Close(); err != nil {
		t.Errorf("Close during a signature: %v", err)
	}
	select {
	case err := <-signed:
		if err != nil {
			t.Errorf("the signature that was under way: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the signature did not come back")
	}

	hasty := openToken(t, token, func(c *Config) { c.Wait = 20 * time.Millisecond })
	key, err := hasty.Key(t.Context(), "ca")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := key.SignMessage(rand.Reader, []byte("message"), nil)
		signed <- err
	}()
	for len(hasty.permits) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := hasty.Close(); err == nil || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("Close: %v, want an error that says what still runs", err)
	}
	<-signed

	m, _ := loadModule(token.ModulePath) // adds one user
	defer m.release()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		modules.Lock()
		users := m.users
		modules.Unlock()
		if users == 1 {
			break
		}
		if time.Since(start) > 10*time.Second {
			t.Fatalf("the module still has %d users after the call returned", users-1)
		}
	}
}
