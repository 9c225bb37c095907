package pkcs11

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

const (
	pointBytes = 65 // 04 || X || Y
	rawBytes   = 64 // r || s
)

// sm2Params is CKA_EC_PARAMS: the OID 1.2.156.10197.1.301 in DER.
var sm2Params = []byte{0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d}

// parsePoint reads CKA_EC_POINT; the point is checked to lie on the curve.
func parsePoint(value []byte, form PointForm) (*ecdsa.PublicKey, error) {
	point := value
	if form == OctetStringPoint || form == AutoPoint && len(value) != pointBytes {
		input := cryptobyte.String(value)
		var inner cryptobyte.String
		if !input.ReadASN1(&inner, asn1.OCTET_STRING) || !input.Empty() {
			return nil, fmt.Errorf("CKA_EC_POINT of %d bytes is no OCTET STRING", len(value))
		}
		point = inner
	}
	if len(point) != pointBytes {
		return nil, fmt.Errorf("CKA_EC_POINT holds %d bytes, not 04 || X || Y of %d", len(point), pointBytes)
	}
	pub, err := sm2.NewPublicKey(point)
	if err != nil {
		return nil, errors.New("CKA_EC_POINT is no point of the SM2 curve")
	}
	return pub, nil
}

// toDER turns what C_Sign returned into DER. Whether it is a signature at all is
// for the verification to say.
func toDER(sig []byte, form SignatureForm) ([]byte, error) {
	if form == DERSignature || form == AutoSignature && len(sig) != rawBytes {
		input := cryptobyte.String(sig)
		var inner cryptobyte.String
		r, s := new(big.Int), new(big.Int)
		if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
			!inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) || !inner.Empty() {
			return nil, fmt.Errorf("device returned %d bytes that are no DER signature", len(sig))
		}
		return sig, nil
	}
	if len(sig) != rawBytes {
		return nil, fmt.Errorf("device returned %d bytes, not r || s of %d", len(sig), rawBytes)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(sig[:32]))
		b.AddASN1BigInt(new(big.Int).SetBytes(sig[32:]))
	})
	return b.Bytes()
}
