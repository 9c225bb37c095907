// Package device is the seam between Terrace and the crypto devices (密码机)
// that make and hold SM2 keys: everything above it sees a [crypto.MessageSigner].
package device

import (
	"context"
	"crypto"
	"errors"
	"fmt"
)

// MaxLabel is the longest key label in bytes.
const MaxLabel = 255

// Device makes and holds SM2 keys under labels.
//
// All methods may be used concurrently. A method that cannot reach the device
// returns an error that wraps ErrUnavailable, and the next call tries again;
// one that the device refuses for its PIN returns a *PINError and the device
// is not asked again with that PIN.
type Device interface {
	// Info describes the token or keystore, reaching for it if need be.
	Info(ctx context.Context) (Info, error)
	// Key returns the key under label, or ErrKeyNotFound. Its Public is an
	// *ecdsa.PublicKey on sm2.P256(). SignMessage computes e = SM3(Z || message)
	// with the default ID (GM/T 0009-2012 §10) and returns DER; so does Sign when
	// its options' HashFunc is zero and they are gmsm's SM2 options. Every
	// signature was verified before it is returned.
	Key(ctx context.Context, label string) (crypto.MessageSigner, error)
	// GenerateKey makes a key pair under label and returns it, durable. When the
	// label is taken it returns ErrKeyExists and makes nothing. A device whose keys
	// its maker's tool makes returns ErrMadeOutside, saying what is to be made.
	GenerateKey(ctx context.Context, label string) (crypto.MessageSigner, error)
	// SelfTest signs with a key of its own and verifies.
	SelfTest(ctx context.Context) error
	// Close ends the sessions; keys of this Device fail afterwards.
	Close() error
}

// Info describes a device. Strings are trimmed and hold at most 64 bytes.
type Info struct {
	Label        string
	SerialNumber string
	Model        string
}

// Errors of every Device.
var (
	ErrKeyNotFound  = errors.New("key not found")
	ErrKeyExists    = errors.New("key exists")
	ErrUnavailable  = errors.New("crypto device unavailable")
	ErrBadSignature = errors.New("device returned a signature that does not verify")
	ErrMadeOutside  = errors.New("keys of this device are made with its maker's tool")
)

// PINError says that the device did not, or would not, take the PIN. The PIN
// is never part of it.
type PINError struct {
	// Device is the token's label.
	Device string
	// LastTry: the token says that one more wrong PIN locks it, so the PIN was not tried.
	LastTry bool
	// Locked: the token is locked; its security officer must set a new PIN.
	Locked bool
}

func (e *PINError) Error() string {
	switch {
	case e.Locked:
		return fmt.Sprintf("log in to token %q: PIN is locked; the security officer must set a new one", e.Device)
	case e.LastTry:
		return fmt.Sprintf("log in to token %q: not tried, the token allows one last try; log in with the right PIN by the maker's tool first", e.Device)
	default:
		return fmt.Sprintf("log in to token %q: PIN refused; it is not tried again until its Secret changes", e.Device)
	}
}
