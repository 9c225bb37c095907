//go:build cgo

package sdf

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/device"
)

// Device is one SDF device under one password.
type Device struct {
	cfg        Config // its password is cleared; credential holds it
	credential *credential
	permits    chan struct{} // one for each session that may be open

	mu      sync.Mutex
	closed  bool
	library *library
	idle    []*session
}

var _ device.Device = (*Device)(nil)

// Open checks cfg and returns the device. It does not reach for it yet: one that
// is absent now may be there at the first use.
func Open(cfg Config) (device.Device, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, fmt.Errorf("open SDF device: %w", err)
	}
	credential := newCredential(cfg.Password)
	cfg.Password = nil
	cfg.Keys = maps.Clone(cfg.Keys)
	return &Device{cfg: cfg, credential: credential, permits: make(chan struct{}, cfg.MaxSessions)}, nil
}

// Info reaches for the device, returns what it says of itself, and has it take the
// password at every index that holds a key; the self-test's must.
func (d *Device) Info(ctx context.Context) (device.Info, error) {
	var info device.Info
	err := d.with(ctx, func(s *session) error {
		structure, err := s.library.calls.deviceInfo(s.value)
		if err != nil {
			return err
		}
		info = parseInfo(structure[:infoBytes])
		for _, index := range d.cfg.indexes() {
			err := d.credential.access(s, index)
			if errors.Is(err, device.ErrKeyNotFound) && index != d.cfg.SelfTestIndex {
				continue // its key may be made later
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, device.ErrKeyNotFound) {
		return device.Info{}, fmt.Errorf("read device info: self-test key: make it with the maker's tool: %w", err)
	}
	if err != nil {
		return device.Info{}, fmt.Errorf("read device info: %w", err)
	}
	return info, nil
}

// Key returns the key at the index that Config.Keys gives to label.
func (d *Device) Key(ctx context.Context, label string) (crypto.MessageSigner, error) {
	if err := device.CheckLabel(label); err != nil {
		return nil, fmt.Errorf("find key: %w", err)
	}
	index, bound := d.cfg.Keys[label]
	if !bound {
		if err := d.usable(ctx); err != nil {
			return nil, fmt.Errorf("find key %q: %w", label, err)
		}
		return nil, fmt.Errorf("find key %q: no key index is given to this label: %w", label, device.ErrKeyNotFound)
	}
	return d.key(ctx, label, index)
}

func (d *Device) key(ctx context.Context, label string, index uint32) (*device.Signer, error) {
	var public *ecdsa.PublicKey
	err := d.with(ctx, func(s *session) error {
		structure, err := s.library.calls.exportPublicKey(s.value, index)
		if err == nil {
			public, err = d.cfg.Form.parsePublicKey(structure)
		}
		var code Code
		if errors.As(err, &code) && code == codeKeyNotExist || errors.Is(err, errEmptyKey) {
			return fmt.Errorf("key index %d holds no signing key pair (%w): %w", index, err, device.ErrKeyNotFound)
		}
		if err != nil {
			return fmt.Errorf("key index %d: %w", index, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find key %q: %w", label, err)
	}
	return d.signer(label, index, public)
}

// GenerateKey makes nothing: SDF has no function that makes a key at an index. It
// returns ErrKeyExists, or ErrMadeOutside with what to do.
func (d *Device) GenerateKey(ctx context.Context, label string) (crypto.MessageSigner, error) {
	_, err := d.Key(ctx, label)
	switch {
	case err == nil:
		return nil, fmt.Errorf("generate key %q: %w", label, device.ErrKeyExists)
	case !errors.Is(err, device.ErrKeyNotFound):
		return nil, fmt.Errorf("generate key: %w", err)
	}
	if index, bound := d.cfg.Keys[label]; bound {
		return nil, fmt.Errorf("generate key %q: %w: make an SM2 signing key pair at index %d with it", label, device.ErrMadeOutside, index)
	}
	return nil, fmt.Errorf("generate key %q: %w: make an SM2 signing key pair with it and give its index to this label", label, device.ErrMadeOutside)
}

// SelfTest signs with the key at Config.SelfTestIndex, verifies, and has the
// device verify the same signature, and refuse it over another digest.
func (d *Device) SelfTest(ctx context.Context) error {
	key, err := d.key(ctx, device.SelfTestLabel, d.cfg.SelfTestIndex)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	message := []byte(device.SelfTestLabel)
	if _, err := key.SignMessage(rand.Reader, message, nil); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	public := key.Public().(*ecdsa.PublicKey)
	e, err := sm2.CalculateSM2Hash(public, message, nil) // nil: the default ID
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	other := bytes.Clone(e)
	other[0] ^= 1
	err = d.with(ctx, func(s *session) error {
		if err := d.credential.access(s, d.cfg.SelfTestIndex); err != nil {
			return err
		}
		calls, structure := s.library.calls, d.cfg.Form.publicKey(public)
		signature, err := calls.sign(s.value, d.cfg.SelfTestIndex, e)
		if err != nil {
			return err
		}
		if err := calls.verify(s.value, d.cfg.Form.SM2Sign, structure, e, signature); err != nil {
			return fmt.Errorf("the device does not verify its own signature under algorithm %#x: %w", d.cfg.Form.SM2Sign, err)
		}
		if calls.verify(s.value, d.cfg.Form.SM2Sign, structure, other, signature) == nil {
			return fmt.Errorf("the device verifies a signature over another digest: %w", device.ErrBadSignature)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	return nil
}

// Close waits for calls that are under way, at most Config.Wait, closes the
// sessions, zeroes the password and closes the device when nobody else uses it.
// When it must give up waiting it says so, and the rest is done once the call
// returns.
func (d *Device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()

	finished := make(chan error, 1)
	go func() { finished <- d.finish() }()
	timeout := time.NewTimer(d.cfg.Wait)
	defer timeout.Stop()
	select {
	case err := <-finished:
		return err
	case <-timeout.C:
		return fmt.Errorf("close SDF device: a call into %s still runs after %v; its session closes when it returns", d.cfg.LibraryPath, d.cfg.Wait)
	}
}

// finish leaves the library when no session is in use any more: closing a device
// under a call is undefined.
func (d *Device) finish() error {
	for range d.cfg.MaxSessions {
		d.permits <- struct{}{}
	}
	d.closeIdle()
	d.credential.close()
	for range d.cfg.MaxSessions { // late callers get their error without waiting
		<-d.permits
	}
	d.mu.Lock()
	l := d.library
	d.mu.Unlock()
	if l == nil {
		return nil
	}
	return l.leave()
}

func (d *Device) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

func (d *Device) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.isClosed() {
		return errClosed
	}
	return nil
}

// signer returns the signer of the key at an index. It outlives sessions; that the
// index still holds the same key shows in the verification of each signature.
func (d *Device) signer(label string, index uint32, public *ecdsa.PublicKey) (*device.Signer, error) {
	signer, err := device.NewSigner(label, public, func(digest, _ []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), d.cfg.Wait)
		defer cancel()
		var structure []byte
		err := d.with(ctx, func(s *session) error {
			if err := d.credential.access(s, index); err != nil {
				return err
			}
			var err error
			structure, err = s.library.calls.sign(s.value, index, digest)
			return err
		})
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("%w: no session of %d became free in %v", device.ErrUnavailable, d.cfg.MaxSessions, d.cfg.Wait)
		}
		if err != nil {
			return nil, err
		}
		return d.cfg.Form.signatureDER(structure)
	})
	if err != nil {
		return nil, err
	}
	return signer.WithParallel(d.cfg.MaxSessions), nil
}
