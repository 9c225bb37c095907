//go:build cgo

package pkcs11

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

// twoTokens returns two tokens with the same key "ca" that fail apart from each
// other, as two devices of one maker do that were brought in line by its tools: a
// token directory and its copy, each behind a library of its own.
func twoTokens(t *testing.T) (first, standby *Device, firstToken, standbyToken testToken) {
	t.Helper()
	firstToken = newToken(t, tokenOptions{})
	first = openToken(t, firstToken, nil)
	mustKey(t, first, "ca") // now its module has read its settings

	standbyToken = firstToken
	standbyToken.Dir = filepath.Join(t.TempDir(), "copy")
	standbyToken.ModulePath = filepath.Join(t.TempDir(), "libcopy.so")
	library, err := os.ReadFile(firstToken.ModulePath)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(standbyToken.ModulePath, library, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(standbyToken.Dir, os.DirFS(firstToken.Dir)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TERRACE_SOFTTOKEN_DIR", standbyToken.Dir)
	standby = openToken(t, standbyToken, nil)
	if _, err := standby.Key(t.Context(), "ca"); err != nil {
		t.Fatal(err)
	}
	return first, standby, firstToken, standbyToken
}

func groupOf(first, standby *Device) *device.Group {
	return device.NewGroup(device.Member{Name: "a", Get: func() (device.Device, error) { return first, nil }},
		&device.Member{Name: "b", Get: func() (device.Device, error) { return standby, nil }})
}

// lockOut spends the token's tries, as somebody with a wrong PIN would, and ends the login.
func lockOut(t *testing.T, d *Device) {
	t.Helper()
	m, slot := raw(t, d)
	h := rawSession(t, m, slot)
	defer m.CloseSession(h)
	if err := m.Logout(h); err != nil {
		t.Error(err)
	}
	for range 20 {
		if err := m.Login(h, pkcs11.CKU_USER, "not-the-pin"); errors.Is(err, pkcs11.Error(pkcs11.CKR_PIN_LOCKED)) {
			break
		} else if err == nil { // the group's own login was faster
			t.Error("a wrong PIN was taken")
		} else if errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
			_ = m.Logout(h)
		}
	}
	_ = m.Logout(h)
}

// TestFailover: one of two tokens with the same key goes away under load; not one
// signature is lost, and it is used again when it is back.
func TestFailover(t *testing.T) {
	for name, tc := range map[string]struct {
		lose func(t *testing.T, d *Device, token testToken)
		back func(t *testing.T, token testToken) // nil: it stays away
	}{
		"pulled out": {
			func(t *testing.T, _ *Device, token testToken) { setFault(t, token, "device-removed") },
			func(t *testing.T, token testToken) { setFault(t, token) },
		},
		"out of order": {
			func(t *testing.T, _ *Device, token testToken) { setFault(t, token, "device-error") },
			func(t *testing.T, token testToken) { setFault(t, token) },
		},
		"locked": {func(t *testing.T, d *Device, _ testToken) { lockOut(t, d) }, nil},
		"closed": {func(t *testing.T, d *Device, _ testToken) { _ = d.Close() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			first, standby, token, _ := twoTokens(t)
			group := groupOf(first, standby)
			key, err := group.Key(t.Context(), "ca")
			if err != nil {
				t.Fatal(err)
			}
			if n, err := group.CheckRedundant(t.Context()); n != 1 || err != nil {
				t.Fatalf("CheckRedundant = %d, %v; want 1 key in both", n, err)
			}
			var stop atomic.Bool
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for !stop.Load() {
						if _, err := key.SignMessage(nil, []byte("message"), nil); err != nil {
							t.Errorf("sign: %v", err)
							return
						}
					}
				})
			}
			signed := func(i int) uint64 { return group.Members()[i].Signed }
			waitFor(t, "the first device to sign", func() bool { return signed(0) > 20 })
			tc.lose(t, first, token)
			waitFor(t, "the standby to sign", func() bool { return signed(1) > 20 })
			if group.Members()[0].Err == nil {
				t.Error("the first device is not left out")
			}
			if _, err := group.CheckRedundant(t.Context()); err == nil {
				t.Error("CheckRedundant: success while one device is away")
			}
			if tc.back != nil {
				tc.back(t, token)
				before := signed(0)
				waitFor(t, "the first device to be used again", func() bool { return signed(0) > before+20 })
				if n, err := group.CheckRedundant(t.Context()); n != 1 || err != nil {
					t.Errorf("CheckRedundant = %d, %v; want both devices at work again", n, err)
				}
			}
			stop.Store(true)
			wg.Wait()
		})
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

// TestStandbyIsNotWrittenTo: nothing is ever made in the standby.
func TestStandbyIsNotWrittenTo(t *testing.T) {
	first, standby, token, _ := twoTokens(t)
	group := groupOf(first, standby)
	if _, err := group.GenerateKey(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	if _, err := standby.Key(t.Context(), "new"); !errors.Is(err, device.ErrKeyNotFound) {
		t.Errorf("Key in the standby: %v, want ErrKeyNotFound", err)
	}
	if _, err := group.CheckRedundant(t.Context()); !errors.Is(err, device.ErrKeyNotFound) {
		t.Errorf("CheckRedundant: %v, want ErrKeyNotFound until the key is copied", err)
	}
	setFault(t, token, "device-removed")
	if _, err := group.GenerateKey(t.Context(), "another"); !errors.Is(err, device.ErrUnavailable) {
		t.Errorf("GenerateKey while the first device is away: %v, want ErrUnavailable", err)
	}
	if _, err := standby.Key(t.Context(), "another"); !errors.Is(err, device.ErrKeyNotFound) {
		t.Errorf("Key in the standby: %v, want ErrKeyNotFound", err)
	}
	setFault(t, token)
}
