//go:build cgo

package sdf

import (
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/hack/softsdf/softsdftest"
	"github.com/terrace-pki/terrace/internal/device"
)

// TestLost: what a restarted device does to sessions and rights costs nothing,
// also where a library refuses a second open device.
func TestLost(t *testing.T) {
	for _, fault := range []string{"device-lost", "rights-lost"} {
		for _, devices := range []string{"0", "1"} {
			t.Run(fault+", devices "+devices, func(t *testing.T) {
				soft := newSoft(t, softsdftest.Options{Devices: devices})
				d := open(t, soft, nil)
				key := mustKey(t, d, "ca")
				for range 3 {
					mustSign(t, key)
					soft.SetFault(t, fault)
					mustSign(t, key)
					soft.SetFault(t, fault)
					if _, err := d.Info(t.Context()); err != nil {
						t.Errorf("Info: %v", err)
					}
					soft.SetFault(t, fault)
					if err := d.SelfTest(t.Context()); err != nil {
						t.Errorf("SelfTest: %v", err)
					}
				}
				for index := uint32(1); index <= 2; index++ {
					if n := soft.Failures(t, index); n != 0 {
						t.Errorf("index %d saw %d wrong passwords", index, n)
					}
				}
			})
		}
	}
}

// TestLostUnderLoad: a signature may meet two losses and fail, as unavailable;
// nothing else may happen, and nothing may be left behind.
func TestLostUnderLoad(t *testing.T) {
	soft := newSoft(t, softsdftest.Options{Devices: "1"})
	d, other := open(t, soft, nil), open(t, soft, nil)
	keys := []*Device{d, other}
	var signed atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for g := range 8 {
		key := mustKey(t, keys[g%2], "ca")
		wg.Go(func() {
			for !stop.Load() {
				if _, err := key.SignMessage(rand.Reader, []byte("message"), nil); err == nil {
					signed.Add(1)
				} else if !errors.Is(err, device.ErrUnavailable) {
					t.Errorf("SignMessage: %v, want success or ErrUnavailable", err)
				}
			}
		})
	}
	for i := range 20 {
		time.Sleep(20 * time.Millisecond)
		soft.SetFault(t, []string{"device-lost", "rights-lost"}[i%2])
	}
	stop.Store(true)
	wg.Wait()
	if signed.Load() == 0 {
		t.Error("nothing was signed")
	}
	mustSign(t, mustKey(t, d, "ca"))
	if n := d.library.current.sessions; n < 1 || n > 2*DefaultMaxSessions {
		t.Errorf("%d sessions are open, want 1 to %d", n, 2*DefaultMaxSessions)
	}
}

// TestDeviceError: while the device is in trouble everything is unavailable, and
// the same keys go on afterwards.
func TestDeviceError(t *testing.T) {
	soft := newSoft(t, softsdftest.Options{})
	d := open(t, soft, nil)
	key := mustKey(t, d, "ca")
	soft.SetFault(t, "device-error")
	_, infoErr := d.Info(t.Context())
	_, keyErr := d.Key(t.Context(), "ca")
	_, signErr := key.SignMessage(rand.Reader, []byte("message"), nil)
	for name, err := range map[string]error{"Info": infoErr, "Key": keyErr, "SignMessage": signErr, "SelfTest": d.SelfTest(t.Context())} {
		if !errors.Is(err, device.ErrUnavailable) || !strings.Contains(err.Error(), "SDR_HARDFAIL") {
			t.Errorf("%s: %v, want ErrUnavailable with SDR_HARDFAIL", name, err)
		}
	}
	soft.SetFault(t, "")
	mustSign(t, key)
}

func TestBitFlip(t *testing.T) {
	soft := newSoft(t, softsdftest.Options{})
	d := open(t, soft, nil)
	key := mustKey(t, d, "ca")
	soft.SetFault(t, "bad-signature")
	sig, err := key.SignMessage(rand.Reader, []byte("message"), nil)
	if !errors.Is(err, device.ErrBadSignature) || sig != nil {
		t.Errorf("SignMessage = %x, %v; want ErrBadSignature and nothing else", sig, err)
	}
	if err := d.SelfTest(t.Context()); !errors.Is(err, device.ErrBadSignature) {
		t.Errorf("SelfTest: %v, want ErrBadSignature", err)
	}
	soft.SetFault(t, "")
	mustSign(t, key)
}

// TestCloseWaits: Close neither closes the device under a call nor waits for ever.
func TestCloseWaits(t *testing.T) {
	soft := newSoft(t, softsdftest.Options{})
	d := open(t, soft, nil)
	key := mustKey(t, d, "ca")
	soft.SetFault(t, "delay-ms 150")
	signed := make(chan error)
	sign := func() {
		_, err := key.SignMessage(rand.Reader, []byte("message"), nil)
		signed <- err
	}
	go sign()
	for len(d.permits) == 0 { // until the call is in the library
		time.Sleep(time.Millisecond)
	}
	time.Sleep(30 * time.Millisecond)
	if err := d.Close(); err != nil {
		t.Errorf("Close during a signature: %v", err)
	}
	if err := <-signed; err != nil {
		t.Errorf("the signature that was under way: %v", err)
	}
	password := d.credential.password
	if password != nil {
		t.Errorf("the password is still there after Close: %d bytes", len(password))
	}

	hasty := open(t, soft, func(c *Config) { c.Wait = 20 * time.Millisecond })
	key = mustKey(t, hasty, "ca")
	go sign()
	for len(hasty.permits) == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := hasty.Close(); err == nil || !strings.Contains(err.Error(), "still runs") {
		t.Errorf("Close: %v, want an error that says what still runs", err)
	}
	<-signed
	libraries.Lock()
	l := libraries.byPath[soft.LibraryPath]
	libraries.Unlock()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		open := l.current != nil
		l.mu.Unlock()
		if !open {
			break
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("the device is still open after the call returned")
		}
	}
}
