package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Verifier verifies SM2 signatures of one key. Z, the hash of ID, curve and key
// that precedes every message (GB/T 32918.2-2016 §5.5, GM/T 0009-2012 §10), is
// computed once. It is safe for concurrent use.
type Verifier struct {
	key *ecdsa.PublicKey
	z   []byte
}

// NewVerifier refuses keys that are not SM2. The key is copied.
func NewVerifier(pub *ecdsa.PublicKey) (*Verifier, error) {
	spki, err := MarshalSPKI(pub)
	if err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	own, err := ParseSM2SPKI(spki)
	if err != nil {
		return nil, fmt.Errorf("verifier: %w", err)
	}
	z, err := sm2.CalculateZA(own, nil)
	if err != nil {
		return nil, fmt.Errorf("verifier: compute Z: %w", err)
	}
	return &Verifier{own, z}, nil
}

// IsFor says whether pub is the verifier's key. Both are public: unlike
// ecdsa.PublicKey.Equal it need not take the same time for all, nor allocate.
func (v *Verifier) IsFor(pub *ecdsa.PublicKey) bool {
	x, y := coordinates(pub)
	ownX, ownY := coordinates(v.key)
	return x != nil && y != nil && sm2.IsSM2PublicKey(pub) && x.Cmp(ownX) == 0 && y.Cmp(ownY) == 0
}

// Verify verifies a signature (GM/T 0009-2012 §7.3, §10) over message with the
// default ID, like VerifySignature.
func (v *Verifier) Verify(message, sig []byte) bool {
	h := sm3.New()
	h.Write(v.z)
	h.Write(message)
	return sm2.VerifyASN1(v.key, h.Sum(nil), sig)
}

// Sign is the function Sign for a signer that holds the verifier's key.
func (v *Verifier) Sign(signer crypto.MessageSigner, tbs []byte) ([]byte, error) {
	pub, err := SignerPublicKey(signer)
	if err != nil {
		return nil, err
	}
	if !v.IsFor(pub) {
		return nil, errors.New("sign: the signer holds another key")
	}
	return sign(signer, tbs, v.Verify)
}

// Signature is Sign without the SEQUENCE around it: for what is too long to be
// copied. The signer must not change tbs.
func (v *Verifier) Signature(signer crypto.MessageSigner, tbs []byte) ([]byte, error) {
	pub, err := SignerPublicKey(signer)
	if err != nil {
		return nil, err
	}
	if !v.IsFor(pub) {
		return nil, errors.New("sign: the signer holds another key")
	}
	return signature(signer, tbs, v.Verify)
}

// Sign signs tbs with SM2, SM3 and the default ID (GM/T 0009-2012 §10), verifies
// the signature under the signer's public key, and returns the SEQUENCE of tbs,
// algorithm and signature, which certificates, CRLs and requests share.
func Sign(signer crypto.MessageSigner, tbs []byte) ([]byte, error) {
	pub, err := SignerPublicKey(signer)
	if err != nil {
		return nil, err
	}
	return sign(signer, tbs, func(message, sig []byte) bool { return VerifySignature(pub, message, sig) })
}

// unverifiedSigner leaves the check of its signatures to its caller; device.Signer does.
type unverifiedSigner interface {
	SignUnverified(message []byte) ([]byte, error)
}

func sign(signer crypto.MessageSigner, tbs []byte, verify func(message, sig []byte) bool) ([]byte, error) {
	sig, err := signature(signer, tbs, verify)
	if err != nil {
		return nil, err
	}
	return AssembleSigned(tbs, sig)
}

// signature returns one that was verified.
func signature(signer crypto.MessageSigner, tbs []byte, verify func(message, sig []byte) bool) ([]byte, error) {
	ask, tries := func() ([]byte, error) { return signer.SignMessage(rand.Reader, tbs, sm2.DefaultSM2SignerOpts) }, 1
	if u, ok := signer.(unverifiedSigner); ok {
		// Verified here, once. A device that erred (a bit flip, a wrong session)
		// gets one more chance, as its own check would give it.
		ask, tries = func() ([]byte, error) { return u.SignUnverified(tbs) }, 2
	}
	for range tries {
		sig, err := ask()
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		if verify(tbs, sig) {
			return sig, nil
		}
	}
	return nil, errors.New("sign: the signature does not verify under the signer's public key; the device may be faulty or sign with another ID than 1234567812345678")
}

// AssembleSigned builds SEQUENCE { tbs, 1.2.156.10197.1.501, BIT STRING sig }.
func AssembleSigned(tbs, sig []byte) ([]byte, error) {
	if len(tbs) > maxAssembled || len(sig) > maxAssembled {
		return nil, fmt.Errorf("assemble: has %d bytes to sign and a signature of %d, at most %d are supported", len(tbs), len(sig), maxAssembled)
	}
	var header [6]byte
	content := len(tbs) + len(sm2SignatureAlgorithm) + len(appendHeader(header[:0], cbasn1.BIT_STRING, len(sig)+1)) + 1 + len(sig)
	// Sized at once: growth by doubling would copy a CRL of 100,000 entries often.
	b := appendHeader(make([]byte, 0, content+6), cbasn1.SEQUENCE, content)
	b = append(b, tbs...)
	b = append(b, sm2SignatureAlgorithm...)
	b = append(appendHeader(b, cbasn1.BIT_STRING, len(sig)+1), 0)
	return append(b, sig...), nil
}

// AppendHeader appends tag and length of an element whose content has n bytes,
// below 1 GiB, in the shortest form (X.690 §10.1).
func AppendHeader(b []byte, tag cbasn1.Tag, n int) []byte { return appendHeader(b, tag, n) }

// maxAssembled keeps lengths within the four octets that appendHeader writes.
const maxAssembled = 1 << 30

// VerifySignature verifies an SM2 signature (GM/T 0009-2012 §7.3, §10) over
// message with the default ID.
func VerifySignature(pub *ecdsa.PublicKey, message, sig []byte) bool {
	return sm2.VerifyASN1WithSM2(pub, nil, message, sig)
}
