package link

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	pemPrivateKey = "PRIVATE KEY"
	pemPublicKey  = "PUBLIC KEY"
	maxKeyFile    = 4 << 10 // bytes
)

// Key is the SM2 message key of a process: what it signs is what it says.
type Key struct {
	signer crypto.MessageSigner
	public *ecdsa.PublicKey
	spki   []byte
}

// NewKey uses a signer, for instance a key in a crypto device. It signs with
// SM3 and the default ID (GM/T 0009-2012 §10).
func NewKey(signer crypto.MessageSigner) (*Key, error) {
	public, err := pki.SignerPublicKey(signer)
	if err != nil {
		return nil, fmt.Errorf("message key: %w", err)
	}
	spki, err := pki.MarshalSPKI(public)
	if err != nil {
		return nil, fmt.Errorf("message key: %w", err)
	}
	return &Key{signer: signer, public: public, spki: spki}, nil
}

// EnsureKey reads the key in path, and makes it first when there is none. Of two
// processes that make it at the same time one wins, and both use its key.
func EnsureKey(path string) (*Key, error) {
	key, err := LoadKey(path)
	if !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	if err := makeKey(path); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make message key: %w", err)
	}
	return LoadKey(path)
}

func makeKey(path string) error {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := smx509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".message-key.*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}))
	clear(der)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	// Link, unlike rename, never replaces: peers know the key that is there.
	if err := os.Link(temp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// LoadKey reads an SM2 key as PEM of PKCS#8 (RFC 5958). It refuses a file that
// others than its owner may read or write.
func LoadKey(path string) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read message key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read message key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("read message key: %s has mode %04o, which lets others use it: chmod 600 it, and make a new key if somebody could read it", path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("read message key: %w", err)
	}
	defer clear(b)
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemPrivateKey {
		return nil, fmt.Errorf("read message key: %s holds no PEM block %q", path, pemPrivateKey)
	}
	defer clear(block.Bytes)
	parsed, err := smx509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil { // its text might tell of the content
		return nil, fmt.Errorf("read message key: %s is no PKCS#8 key", path)
	}
	key, ok := parsed.(*sm2.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read message key: %s holds a %T, want an SM2 key", path, parsed)
	}
	return NewKey(key)
}

// Public is the public key.
func (k *Key) Public() *ecdsa.PublicKey { return k.public }

// Signer signs with the key what goes to others as a file.
func (k *Key) Signer() crypto.MessageSigner { return k.signer }

// PublicPEM is the SubjectPublicKeyInfo as PEM, for the peers files of others.
func (k *Key) PublicPEM() []byte { return pki.EncodePEM(pemPublicKey, k.spki) }

// Fingerprint is SM3 of the SubjectPublicKeyInfo in hex, for people to compare.
func (k *Key) Fingerprint() string { return fmt.Sprintf("%x", sm3.Sum(k.spki)) }

func (k *Key) sign(message []byte) ([]byte, error) {
	sig, err := k.signer.SignMessage(rand.Reader, message, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return nil, fmt.Errorf("sign message: %w", err)
	}
	return sig, nil
}
