package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/big"

	"github.com/emmansun/gmsm/ecdh"
	"github.com/emmansun/gmsm/sm2"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// sm2SPKIPrefix is everything of an SM2 SubjectPublicKeyInfo before X and Y
// (GM/T 0009-2012 §7.1): id-ecPublicKey, the named curve 1.2.156.10197.1.301,
// and an uncompressed point. There is only one DER form.
var sm2SPKIPrefix = []byte{
	0x30, 0x59, 0x30, 0x13,
	0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
	0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d,
	0x03, 0x42, 0x00, 0x04,
}

// sm2SignatureAlgorithm is the AlgorithmIdentifier 1.2.156.10197.1.501 with
// absent parameters.
var sm2SignatureAlgorithm = []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75}

// SignatureAlgorithmDER is the AlgorithmIdentifier of SM2 with SM3 as Terrace
// writes it: parameters absent.
func SignatureAlgorithmDER() []byte { return append([]byte(nil), sm2SignatureAlgorithm...) }

// IsWrittenSignatureAlgorithm says whether der is, byte for byte, SignatureAlgorithmDER.
func IsWrittenSignatureAlgorithm(der []byte) bool { return bytes.Equal(der, sm2SignatureAlgorithm) }

// IsSignatureAlgorithm says whether der is the AlgorithmIdentifier of SM2 with
// SM3, with absent or, as CFCA's clients write it, NULL parameters.
func IsSignatureAlgorithm(der []byte) bool {
	withNull := append(append([]byte{0x30, 0x0c}, sm2SignatureAlgorithm[2:]...), 0x05, 0x00)
	return bytes.Equal(der, sm2SignatureAlgorithm) || bytes.Equal(der, withNull)
}

// MarshalSPKI writes an SM2 public key as SubjectPublicKeyInfo (GM/T 0009-2012
// §7.1). It refuses other curves and points that are not on the curve.
func MarshalSPKI(pub *ecdsa.PublicKey) ([]byte, error) {
	x, y := coordinates(pub)
	if x == nil || y == nil || !sm2.IsSM2PublicKey(pub) {
		return nil, errors.New("marshal public key: is not an SM2 key on sm2.P256()")
	}
	// What does not fit into 32 octets cannot be written, and is no coordinate.
	if x.Sign() < 0 || y.Sign() < 0 || x.BitLen() > 256 || y.BitLen() > 256 {
		return nil, errors.New("marshal public key: is no point of the SM2 curve")
	}
	n := len(sm2SPKIPrefix)
	der := make([]byte, n+64)
	copy(der, sm2SPKIPrefix)
	x.FillBytes(der[n : n+32])
	y.FillBytes(der[n+32:])
	if err := CheckSM2SPKI(der); err != nil {
		return nil, fmt.Errorf("marshal public key: %w", err)
	}
	return der, nil
}

// coordinates may be nil, and are for a nil key.
func coordinates(pub *ecdsa.PublicKey) (x, y *big.Int) {
	if pub == nil {
		return nil, nil
	}
	//lint:ignore SA1019 the alternative knows the NIST curves only
	return pub.X, pub.Y
}

// ParseSM2SPKI reads the SubjectPublicKeyInfo of an SM2 key in its only DER
// form and checks that the point is on the curve.
func ParseSM2SPKI(spki []byte) (*ecdsa.PublicKey, error) {
	point, err := sm2Point(spki)
	if err != nil {
		return nil, err
	}
	pub, err := sm2.NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("public key: is no point of the SM2 curve: %w", err)
	}
	return pub, nil
}

// CheckSM2SPKI is ParseSM2SPKI for those who do not want the key.
func CheckSM2SPKI(spki []byte) error {
	point, err := sm2Point(spki)
	if err != nil {
		return err
	}
	if _, err := ecdh.P256().NewPublicKey(point); err != nil {
		return fmt.Errorf("public key: is no point of the SM2 curve: %w", err)
	}
	return nil
}

// sm2Point is the uncompressed point of an SM2 SubjectPublicKeyInfo.
func sm2Point(spki []byte) ([]byte, error) {
	if !bytes.HasPrefix(spki, sm2SPKIPrefix) || len(spki) != len(sm2SPKIPrefix)+64 {
		return nil, errors.New("public key: is not SM2; want id-ecPublicKey with the named curve 1.2.156.10197.1.301 and an uncompressed point (GM/T 0009 §7.1)")
	}
	return spki[len(sm2SPKIPrefix)-1:], nil
}

// KeyID is the key identifier of method 1 of RFC 5280 §4.2.1.2, as real SM2 CAs
// use it: SHA-1 over the content of the BIT STRING of a SubjectPublicKeyInfo.
// It is an identifier, not a security measure. It is nil when spki is malformed.
func KeyID(spki []byte) []byte {
	in := cryptobyte.String(spki)
	var seq, bits cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || !seq.SkipASN1(cbasn1.SEQUENCE) ||
		!seq.ReadASN1(&bits, cbasn1.BIT_STRING) || len(bits) < 2 || bits[0] != 0 {
		return nil
	}
	sum := sha1.Sum(bits[1:])
	return sum[:]
}

// SignerPublicKey returns the SM2 key of a signer, or an error that says what it has.
func SignerPublicKey(signer crypto.MessageSigner) (*ecdsa.PublicKey, error) {
	pub, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok || !sm2.IsSM2PublicKey(pub) {
		return nil, fmt.Errorf("signer: public key is %T, want an SM2 key on sm2.P256()", signer.Public())
	}
	return pub, nil
}
