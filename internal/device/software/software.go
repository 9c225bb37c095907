// Package software is the crypto device for development: SM2 keys in files of a
// folder, encrypted under a password. It protects a key against whoever reads
// the disk, not against whoever reads the process's memory; a real tier uses
// a PKCS#11 or SDF device.
package software

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/device"
)

// MaxPassword is the longest password in bytes.
const MaxPassword = 1024

// Config says where the keystore is.
type Config struct {
	// Dir is the folder of the key files. It is made with mode 0700 when absent;
	// an existing one that others may enter is refused.
	Dir string
	// Password encrypts each key: 1 to MaxPassword bytes. Open copies it.
	Password []byte
}

// Device is a folder of encrypted keys. Several processes may open one folder.
type Device struct {
	files  folder
	name   string
	serial string

	mu       sync.Mutex // serialises decryption, which is slow by design
	password []byte
	keys     map[string]*sm2.PrivateKey
	closed   bool
}

var _ device.Device = (*Device)(nil)

// Open opens the keystore, making it when it is absent. The first use of a
// folder makes its self-test key; with another password than that one's it
// returns a *device.PINError.
func Open(cfg Config) (device.Device, error) {
	if n := len(cfg.Password); n == 0 || n > MaxPassword {
		return nil, fmt.Errorf("open software keystore: password has %d bytes, must have 1 to %d", n, MaxPassword)
	}
	if cfg.Dir == "" {
		return nil, errors.New("open software keystore: no folder is set")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open software keystore: %w", err)
	}
	files := folder(dir)
	if err := files.prepare(); err != nil {
		return nil, fmt.Errorf("open software keystore: %w", err)
	}
	d := &Device{
		files:    files,
		name:     filepath.Base(dir),
		password: bytes.Clone(cfg.Password),
		keys:     map[string]*sm2.PrivateKey{},
	}
	key, err := d.selfTestKey()
	if err != nil {
		_ = d.Close() // it only clears memory
		return nil, fmt.Errorf("open software keystore %s: %w", dir, err)
	}
	d.serial = serialNumber(&key.PublicKey)
	return d, nil
}

// selfTestKey loads or makes the key that proves the password and names the keystore.
func (d *Device) selfTestKey() (*sm2.PrivateKey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key, err := d.load(device.SelfTestLabel)
	if !errors.Is(err, device.ErrKeyNotFound) {
		return key, err
	}
	key, err = d.generate(device.SelfTestLabel)
	if errors.Is(err, device.ErrKeyExists) { // another process was faster
		return d.load(device.SelfTestLabel)
	}
	return key, err
}

// serialNumber is the first 8 bytes of the SM3 of the self-test key's point, in hex.
func serialNumber(pub *ecdsa.PublicKey) string {
	var point [64]byte
	//lint:ignore SA1019 the alternative knows the NIST curves only
	pub.X.FillBytes(point[:32])
	//lint:ignore SA1019 as above
	pub.Y.FillBytes(point[32:])
	sum := sm3.Sum(point[:])
	return hex.EncodeToString(sum[:8])
}

// Info returns the folder's name and a serial number that stays with the folder.
func (d *Device) Info(ctx context.Context) (device.Info, error) {
	if err := d.usable(ctx); err != nil {
		return device.Info{}, fmt.Errorf("read keystore info: %w", err)
	}
	if err := d.files.check(); err != nil {
		return device.Info{}, fmt.Errorf("read keystore info: %w: %w", device.ErrUnavailable, err)
	}
	return device.Info{Label: truncate(d.name, 64), SerialNumber: d.serial, Model: "software keystore"}, nil
}

// Key returns the key under label.
func (d *Device) Key(ctx context.Context, label string) (crypto.MessageSigner, error) {
	if err := device.CheckLabel(label); err != nil {
		return nil, fmt.Errorf("find key: %w", err)
	}
	if err := d.usable(ctx); err != nil {
		return nil, fmt.Errorf("find key %q: %w", label, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key, err := d.load(label)
	if err != nil {
		return nil, fmt.Errorf("find key %q: %w", label, err)
	}
	return d.signer(label, key)
}

// GenerateKey makes a key and its file. The file appears under its name at once
// and complete, or not at all, also when two processes ask for the same label.
func (d *Device) GenerateKey(ctx context.Context, label string) (crypto.MessageSigner, error) {
	if err := device.CheckLabel(label); err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	if err := d.usable(ctx); err != nil {
		return nil, fmt.Errorf("generate key %q: %w", label, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key, err := d.generate(label)
	if err != nil {
		return nil, fmt.Errorf("generate key %q: %w", label, err)
	}
	return d.signer(label, key)
}

// SelfTest reads the self-test key's file again, signs with it and verifies.
func (d *Device) SelfTest(ctx context.Context) error {
	if err := d.usable(ctx); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	d.mu.Lock()
	delete(d.keys, device.SelfTestLabel) // the disk is part of the test
	key, err := d.load(device.SelfTestLabel)
	d.mu.Unlock()
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	signer, err := d.signer(device.SelfTestLabel, key)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	if _, err := signer.SignMessage(rand.Reader, []byte(device.SelfTestLabel), nil); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	return nil
}

// Close forgets the password and the keys.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	clear(d.password)
	clear(d.keys) // a signature that is under way still holds its key; memory is freed after it
	return nil
}

func (d *Device) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open()
}

// open is called with mu held.
func (d *Device) open() error {
	if d.closed {
		return fmt.Errorf("%w: keystore %q was closed", device.ErrUnavailable, d.name)
	}
	return nil
}

// load is called with mu held.
func (d *Device) load(label string) (*sm2.PrivateKey, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	if key, ok := d.keys[label]; ok {
		return key, nil
	}
	data, err := d.files.read(fileName(label))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, device.ErrKeyNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", device.ErrUnavailable, err)
	}
	key, err := decrypt(data, d.password)
	if errors.Is(err, errPassword) {
		return nil, &device.PINError{Device: d.name}
	}
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", fileName(label), err)
	}
	d.keys[label] = key
	return key, nil
}

// generate is called with mu held.
func (d *Device) generate(label string) (*sm2.PrivateKey, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	name := fileName(label)
	if d.files.has(name) { // spares a taken label the key derivation; create decides
		return nil, device.ErrKeyExists
	}
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	data, err := encrypt(key, d.password)
	if err != nil {
		return nil, err
	}
	err = d.files.create(name, data)
	if errors.Is(err, fs.ErrExist) {
		return nil, device.ErrKeyExists
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", device.ErrUnavailable, err)
	}
	d.keys[label] = key
	return key, nil
}

func (d *Device) signer(label string, key *sm2.PrivateKey) (*device.Signer, error) {
	return device.NewSigner(label, &key.PublicKey, func(digest, _ []byte) ([]byte, error) {
		d.mu.Lock()
		err := d.open()
		d.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return sm2.SignASN1(rand.Reader, key, digest, nil) // nil options: digest is e already
	})
}

func truncate(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}
