//go:build cgo

package pkcs11

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
)

// Device is one token under one PIN.
type Device struct {
	cfg        Config // its PIN is cleared; credential holds it
	credential *credential
	permits    chan struct{} // one for each session that may be open

	mu     sync.Mutex
	closed bool
	module *module
	conn   *connection
	info   device.Info
	// withheld of the permits are of no use now: the token has no more sessions.
	withheld int
}

var _ device.Device = (*Device)(nil)

// Open checks cfg and returns the device. It does not reach for the token yet:
// one that is absent now may be there at the first use.
func Open(cfg Config) (device.Device, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, fmt.Errorf("open PKCS#11 device: %w", err)
	}
	credential := newCredential(cfg.tokenName(), cfg.PIN)
	cfg.PIN = nil
	if cfg.Slot != nil {
		slot := *cfg.Slot
		cfg.Slot = &slot
	}
	return &Device{
		cfg:        cfg,
		credential: credential,
		permits:    make(chan struct{}, cfg.MaxSessions),
	}, nil
}

// Info reaches for the token, logs in and returns what the token says of itself.
func (d *Device) Info(ctx context.Context) (device.Info, error) {
	err := d.with(ctx, func(s *session) error {
		info, err := s.conn.module.ctx.GetSessionInfo(s.handle) // an idle session may be dead
		if err == nil && !isUser(info) {
			err = pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN)
		}
		return err
	})
	if err != nil {
		return device.Info{}, fmt.Errorf("read token info: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info, nil
}

// Key returns the key under label. Exactly one private key must carry it.
func (d *Device) Key(ctx context.Context, label string) (crypto.MessageSigner, error) {
	if err := device.CheckLabel(label); err != nil {
		return nil, fmt.Errorf("find key: %w", err)
	}
	return d.key(ctx, label)
}

func (d *Device) key(ctx context.Context, label string) (crypto.MessageSigner, error) {
	var found keyPair
	err := d.with(ctx, func(s *session) (err error) {
		found, err = d.find(s, label)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find key %q: %w", label, err)
	}
	return d.signer(label, found.public)
}

// GenerateKey makes a key pair in the token by one C_GenerateKeyPair, sensitive
// and not extractable. Label and key identifier are in the template, so that a
// crash leaves either no key or a whole one.
func (d *Device) GenerateKey(ctx context.Context, label string) (crypto.MessageSigner, error) {
	if err := device.CheckLabel(label); err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return d.generateKey(ctx, label)
}

func (d *Device) generateKey(ctx context.Context, label string) (crypto.MessageSigner, error) {
	// A random identifier, not one that follows from the label: by it we know our
	// own key when the answer of the token was lost and the attempt is repeated.
	id := make([]byte, keyIDBytes)
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("generate key %q: %w", label, err)
	}
	var made keyPair
	err := d.with(ctx, func(s *session) (err error) {
		made, err = d.generateOnce(s, label, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("generate key %q: %w", label, err)
	}
	return d.signer(label, made.public)
}

// SelfTest signs with the key under device.SelfTestLabel, made at the first call.
func (d *Device) SelfTest(ctx context.Context) error {
	key, err := d.key(ctx, device.SelfTestLabel)
	if errors.Is(err, device.ErrKeyNotFound) {
		key, err = d.generateKey(ctx, device.SelfTestLabel)
		if errors.Is(err, device.ErrKeyExists) { // another process was faster
			key, err = d.key(ctx, device.SelfTestLabel)
		}
	}
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	if _, err := key.SignMessage(rand.Reader, []byte(device.SelfTestLabel), nil); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	return nil
}

// Close waits for calls that are under way, at most Config.Wait, closes the
// sessions, zeroes the PIN and finalises the module when nobody else uses it.
// When it must give up waiting it says so, and the rest is done once the call
// returns.
func (d *Device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.giveBack()
	module, conn := d.module, d.conn
	d.conn = nil
	d.mu.Unlock()

	d.credential.close()
	if conn != nil {
		conn.close()
	}
	finished := make(chan error, 1)
	go func() { finished <- d.finish(module) }()
	timeout := time.NewTimer(d.cfg.Wait)
	defer timeout.Stop()
	select {
	case err := <-finished:
		if err != nil {
			return fmt.Errorf("close device of token %q: %w", d.cfg.tokenName(), err)
		}
		return nil
	case <-timeout.C:
		return fmt.Errorf("close device of token %q: a call into the module still runs after %v; its session closes when it returns", d.cfg.tokenName(), d.cfg.Wait)
	}
}

// finish releases the module when no session is in use any more: finalising it
// under a call is undefined.
func (d *Device) finish(m *module) error {
	for range d.cfg.MaxSessions {
		d.permits <- struct{}{}
	}
	for range d.cfg.MaxSessions { // late callers get their error without waiting
		<-d.permits
	}
	if m == nil {
		return nil
	}
	return m.release()
}

// signer returns the key's signer. It outlives connections: the handle is found
// again by label, and the public key must still be the same.
func (d *Device) signer(label string, public *ecdsa.PublicKey) (*device.Signer, error) {
	signer, err := device.NewSigner(label, public, func(digest, message []byte) ([]byte, error) {
		input := digest
		if d.cfg.Profile.Input == Message {
			input = message
		}
		ctx, cancel := context.WithTimeout(context.Background(), d.cfg.Wait)
		defer cancel()
		var sig []byte
		err := d.with(ctx, func(s *session) error {
			handle, err := d.handle(s, label, public)
			if err != nil {
				return err
			}
			m := s.conn.module.ctx
			if err := m.SignInit(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(d.cfg.Profile.Sign, nil)}, handle); err != nil {
				return fmt.Errorf("C_SignInit by mechanism %#x: %w", d.cfg.Profile.Sign, err)
			}
			sig, err = m.Sign(s.handle, input)
			if err != nil {
				return fmt.Errorf("C_Sign: %w", err)
			}
			return nil
		})
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("%w: no session of %d became free in %v", device.ErrUnavailable, d.cfg.MaxSessions, d.cfg.Wait)
		}
		if err != nil {
			return nil, err
		}
		return toDER(sig, d.cfg.Profile.Signature)
	})
	if err != nil {
		return nil, err
	}
	return signer.WithParallel(d.cfg.MaxSessions), nil
}
