package device

import (
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"reflect"
	"unicode"
	"unicode/utf8"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
)

// MaxMessage is the longest message in bytes that a Signer signs: four times
// the largest CRL that a directory takes with raised limits.
const MaxMessage = 64 << 20

// SelfTestLabel names the key that SelfTest signs with. It is reserved.
const SelfTestLabel = "terrace.self-test"

// CheckLabel says whether label may name a key: 1 to MaxLabel bytes of UTF-8
// without control characters, and not the reserved SelfTestLabel.
func CheckLabel(label string) error {
	switch {
	case label == "":
		return errors.New("key label is empty")
	case len(label) > MaxLabel:
		return fmt.Errorf("key label has %d bytes; at most %d fit in a token", len(label), MaxLabel)
	case !utf8.ValidString(label):
		return errors.New("key label is not UTF-8")
	case label == SelfTestLabel:
		return fmt.Errorf("key label %q is reserved for the self-test", label)
	}
	for _, r := range label {
		if unicode.IsControl(r) {
			return fmt.Errorf("key label %q holds the control character %U", label, r)
		}
	}
	return nil
}

// SignFunc makes one SM2 signature as DER SEQUENCE of r and s (GM/T 0009-2012
// §7.3), over digest, which is e = SM3(Z || message) with the default ID; a
// device that hashes itself takes message instead. It may be called
// concurrently and must not keep or change its arguments.
type SignFunc func(digest, message []byte) ([]byte, error)

// Signer is the key that every adapter returns: it computes e, has the device
// sign and verifies the result, so that no adapter can forget it.
type Signer struct {
	label  string
	public *ecdsa.PublicKey
	za     []byte
	sign   SignFunc
	// parallel signatures keep the device busy; 0: not said.
	parallel int
}

var _ crypto.MessageSigner = (*Signer)(nil)

// NewSigner returns the signer of the key under label. The public key must lie
// on sm2.P256().
func NewSigner(label string, public *ecdsa.PublicKey, sign SignFunc) (*Signer, error) {
	if !sm2.IsSM2PublicKey(public) {
		return nil, fmt.Errorf("key %q: public key is not on the SM2 curve", label)
	}
	za, err := sm2.CalculateZA(public, nil) // nil: the default ID
	if err != nil {
		return nil, fmt.Errorf("key %q: compute Z: %w", label, err)
	}
	return &Signer{label: label, public: public, za: za, sign: sign}, nil
}

// WithParallel says how many signatures at once keep the device busy, and
// returns s. A device with n sessions that works elsewhere than on this
// machine's cores gives its rate only to n callers.
func (s *Signer) WithParallel(n int) *Signer {
	s.parallel = n
	return s
}

// Parallel is how many signatures by key are worth asking for at once: what
// its device said, or 0 when it said nothing and this machine's cores decide.
func Parallel(key crypto.Signer) int {
	if s, ok := key.(*Signer); ok {
		return s.parallel
	}
	return 0
}

// Public returns the *ecdsa.PublicKey on sm2.P256().
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign signs the whole message that gmsm passes with sm2.DefaultSM2SignerOpts.
// It refuses all other options: a bare digest carries no Z (GM/T 0009-2012 §8),
// and no other ID is in use. The device's own random generator is used.
func (s *Signer) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if !isDefaultSM2(opts) {
		return nil, fmt.Errorf("sign with key %q: options %T: this key signs whole messages, not digests; pass sm2.DefaultSM2SignerOpts or call SignMessage", s.label, opts)
	}
	return s.signMessage(message)
}

// SignMessage signs message under the default ID. opts may be nil, crypto.Hash(0)
// or sm2.DefaultSM2SignerOpts; the hash is SM3 in every case.
func (s *Signer) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts != nil && opts != crypto.Hash(0) && !isDefaultSM2(opts) {
		return nil, fmt.Errorf("sign with key %q: options %T: this key hashes with SM3 under the default ID only; pass sm2.DefaultSM2SignerOpts", s.label, opts)
	}
	return s.signMessage(message)
}

func (s *Signer) signMessage(message []byte) ([]byte, error) {
	if len(message) > MaxMessage {
		return nil, fmt.Errorf("sign with key %q: message has %d bytes, more than %d", s.label, len(message), MaxMessage)
	}
	digest := s.digest(message)
	// A device that erred once (a bit flip, a wrong session) gets one more chance;
	// a signature that does not verify never leaves, also since it could give the key away.
	for range 2 {
		der, err := s.sign(digest, message)
		if err != nil {
			return nil, fmt.Errorf("sign with key %q: %w", s.label, err)
		}
		if sm2.VerifyASN1(s.public, digest, der) {
			return der, nil
		}
	}
	return nil, fmt.Errorf("sign with key %q: %w (tried twice); check the device's mechanism profile", s.label, ErrBadSignature)
}

// SignUnverified is SignMessage for a caller that verifies the signature itself,
// under a key that it knows otherwise, before it goes anywhere: one check, made
// by who is to rely on it (pki.Verifier). A signature that does not verify must
// not leave the caller, since it could give the key away.
func (s *Signer) SignUnverified(message []byte) ([]byte, error) {
	if len(message) > MaxMessage {
		return nil, fmt.Errorf("sign with key %q: message has %d bytes, more than %d", s.label, len(message), MaxMessage)
	}
	der, err := s.sign(s.digest(message), message)
	if err != nil {
		return nil, fmt.Errorf("sign with key %q: %w", s.label, err)
	}
	return der, nil
}

// digest is e = SM3(Z || message).
func (s *Signer) digest(message []byte) []byte {
	h := sm3.New()
	h.Write(s.za)
	h.Write(message)
	return h.Sum(nil)
}

// isDefaultSM2 compares by value: the ID inside gmsm's options cannot be read,
// and signing under another ID than the one asked for must not pass unnoticed.
func isDefaultSM2(opts crypto.SignerOpts) bool {
	o, ok := opts.(*sm2.SM2SignerOption)
	return ok && o != nil && (o == sm2.DefaultSM2SignerOpts || reflect.DeepEqual(o, sm2.DefaultSM2SignerOpts))
}
