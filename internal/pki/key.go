package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha1"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
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

// IsSignatureAlgorithm says whether der is the AlgorithmIdentifier of SM2 with
// SM3, with absent or, as CFCA's clients write it, NULL parameters.
func IsSignatureAlgorithm(der []byte) bool {
	withNull := append(append([]byte{0x30, 0x0c}, sm2SignatureAlgorithm[2:]...), 0x05, 0x00)
	return bytes.Equal(der, sm2SignatureAlgorithm) || bytes.Equal(der, withNull)
}

// MarshalSPKI writes an SM2 public key as SubjectPublicKeyInfo (GM/T 0009-2012
// §7.1). It refuses other curves and points that are not on the curve.
func MarshalSPKI(pub *ecdsa.PublicKey) ([]byte, error) {
	//lint:ignore SA1019 the alternative knows the NIST curves only
	if pub == nil || pub.X == nil || pub.Y == nil || !sm2.IsSM2PublicKey(pub) {
		return nil, errors.New("marshal public key: is not an SM2 key on sm2.P256()")
	}
	der, err := smx509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("marshal public key: %w", err)
	}
	return der, nil
}

// ParseSM2SPKI reads the SubjectPublicKeyInfo of an SM2 key in its only DER
// form and checks that the point is on the curve.
func ParseSM2SPKI(spki []byte) (*ecdsa.PublicKey, error) {
	if !bytes.HasPrefix(spki, sm2SPKIPrefix) || len(spki) != len(sm2SPKIPrefix)+64 {
		return nil, errors.New("public key: is not SM2; want id-ecPublicKey with the named curve 1.2.156.10197.1.301 and an uncompressed point (GM/T 0009 §7.1)")
	}
	pub, err := sm2.NewPublicKey(spki[len(sm2SPKIPrefix)-1:])
	if err != nil {
		return nil, fmt.Errorf("public key: is no point of the SM2 curve: %w", err)
	}
	return pub, nil
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

// Sign signs tbs with SM2, SM3 and the default ID (GM/T 0009-2012 §10), verifies
// the signature under the signer's public key, and returns the SEQUENCE of tbs,
// algorithm and signature, which certificates, CRLs and requests share.
func Sign(signer crypto.MessageSigner, tbs []byte) ([]byte, error) {
	pub, err := SignerPublicKey(signer)
	if err != nil {
		return nil, err
	}
	sig, err := signer.SignMessage(rand.Reader, tbs, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if !VerifySignature(pub, tbs, sig) {
		return nil, errors.New("sign: the signature does not verify under the signer's public key; the device may be faulty or sign with another ID than 1234567812345678")
	}
	return AssembleSigned(tbs, sig)
}

// AssembleSigned builds SEQUENCE { tbs, 1.2.156.10197.1.501, BIT STRING sig }.
func AssembleSigned(tbs, sig []byte) ([]byte, error) {
	// Sized at once: growth by doubling would copy a CRL of 100,000 entries often.
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(sig)+len(sm2SignatureAlgorithm)+32))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(sm2SignatureAlgorithm)
		b.AddASN1BitString(sig)
	})
	return b.Bytes()
}

// VerifySignature verifies an SM2 signature (GM/T 0009-2012 §7.3, §10) over
// message with the default ID.
func VerifySignature(pub *ecdsa.PublicKey, message, sig []byte) bool {
	return sm2.VerifyASN1WithSM2(pub, nil, message, sig)
}
