package sdf

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/emmansun/gmsm/sm2"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/device"
)

const (
	numberBytes = 32 // of X, Y, r and s on the SM2 curve
	bitsBytes   = 4  // ECCrefPublicKey.bits, in the byte order of the host
	infoBytes   = 100
	// structBytes is more than any structure in any form: a library whose form is
	// another than the one configured must not write beyond its buffer.
	structBytes = 512
)

// Padding says where the zeros stand in a field that is longer than its number.
type Padding string

const (
	// LeadingPadding: the number stands at the end of its field, as GB/T 36322 says.
	LeadingPadding Padding = "Leading"
	// TrailingPadding: the number stands at the start of its field.
	TrailingPadding Padding = "Trailing"
)

// Algorithm numbers of SM2 signatures (SGD_SM2_1).
const (
	// SM2SignGBT33560 is the number of GB/T 33560-2017.
	SM2SignGBT33560 = 0x20200
	// SM2SignEarly is the number of headers from before GM/T 0006-2012.
	SM2SignEarly = 0x20100
)

// Form is what a maker's header says of structures and numbers.
type Form struct {
	// MaxBits is ECCref_MAX_BITS: 512, or 256 in early headers.
	MaxBits int
	// Padding of the numbers; with MaxBits 256 there is none.
	Padding Padding
	// SM2Sign is SGD_SM2_1: SM2SignGBT33560 or SM2SignEarly.
	SM2Sign uint32
}

func (f Form) String() string {
	return fmt.Sprintf("ECCref_MAX_BITS %d, padding %s", f.MaxBits, f.Padding)
}

func (f Form) validate() error {
	switch {
	case f.MaxBits != 512 && f.MaxBits != 256:
		return fmt.Errorf("ECCref_MAX_BITS %d is neither 512 nor 256", f.MaxBits)
	case f.Padding != LeadingPadding && f.Padding != TrailingPadding:
		return fmt.Errorf("padding %q is neither Leading nor Trailing", f.Padding)
	case f.SM2Sign != SM2SignGBT33560 && f.SM2Sign != SM2SignEarly:
		return fmt.Errorf("SM2 signature algorithm %#x is neither %#x nor %#x", f.SM2Sign, SM2SignGBT33560, SM2SignEarly)
	}
	return nil
}

// field is the i-th of the numbers that follow each other from offset.
func (f Form) field(structure []byte, offset, i int) []byte {
	size := f.MaxBits / 8
	start := offset + i*size
	if f.Padding == LeadingPadding {
		start += size - numberBytes
	}
	return structure[start : start+numberBytes]
}

// errEmptyKey: some libraries give zeros for an index without a key, and no error.
var errEmptyKey = errors.New("the public key is all zeros")

// parsePublicKey reads an ECCrefPublicKey in a buffer of structBytes.
func (f Form) parsePublicKey(structure []byte) (*ecdsa.PublicKey, error) {
	if len(bytes.Trim(structure, "\x00")) == 0 {
		return nil, errEmptyKey
	}
	if bits := binary.NativeEndian.Uint32(structure); bits != 8*numberBytes {
		return nil, fmt.Errorf("the public key has %d bits, not 256: no SM2 key", bits)
	}
	if pub, err := f.point(structure); err == nil {
		return pub, nil
	}
	for _, other := range []Form{{512, LeadingPadding, 0}, {512, TrailingPadding, 0}, {256, LeadingPadding, 0}} {
		if _, err := other.point(structure); err == nil {
			return nil, fmt.Errorf("the public key is no point of the SM2 curve with %v, but with %v: the configured form is not this library's", f, other)
		}
	}
	return nil, errors.New("the public key is no point of the SM2 curve in any known form")
}

func (f Form) point(structure []byte) (*ecdsa.PublicKey, error) {
	point := append([]byte{4}, f.field(structure, bitsBytes, 0)...)
	return sm2.NewPublicKey(append(point, f.field(structure, bitsBytes, 1)...))
}

// publicKey writes an ECCrefPublicKey.
func (f Form) publicKey(pub *ecdsa.PublicKey) []byte {
	structure := make([]byte, structBytes)
	binary.NativeEndian.PutUint32(structure, 8*numberBytes)
	//lint:ignore SA1019 the alternative knows the NIST curves only
	pub.X.FillBytes(f.field(structure, bitsBytes, 0))
	//lint:ignore SA1019 as above
	pub.Y.FillBytes(f.field(structure, bitsBytes, 1))
	return structure
}

// signatureDER turns an ECCSignature into SEQUENCE of r and s (GM/T 0009-2012
// §7.3). Whether it is a signature at all is for the verification to say.
func (f Form) signatureDER(structure []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for i := range 2 {
			b.AddASN1BigInt(new(big.Int).SetBytes(f.field(structure, 0, i)))
		}
	})
	return b.Bytes()
}

// parseInfo reads a DEVICEINFO: maker (40 bytes), name (16), serial number (16).
func parseInfo(structure []byte) device.Info {
	return device.Info{
		Label:        trim(structure[40:56]),
		SerialNumber: trim(structure[56:72]),
		Model:        trim(structure[:40]),
	}
}

// trim cleans a fixed-size text: padding, and what stands behind a NUL.
func trim(field []byte) string {
	text, _, _ := bytes.Cut(field, []byte{0})
	printable := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(text), "?"))
	return strings.TrimSpace(printable)
}
