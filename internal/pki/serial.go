package pki

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
)

// Serial is a certificate serial number: a positive integer of at most 20
// octets in DER (RFC 5280 §4.1.2.2), as upper-case hexadecimal without leading
// zero octets. The zero value is no serial.
type Serial string

// NewSerial draws a serial of 20 octets: 31 bits of time, in steps of two seconds
// since 1970 (until 2106), then 128 random bits. It is positive, always of the
// same length, and nobody can guess it; that new ones are the greatest keeps the
// index of a ledger of many millions as fast as a small one.
func NewSerial(random io.Reader, now time.Time) (Serial, error) {
	if random == nil {
		random = rand.Reader
	}
	b := make([]byte, 20)
	if _, err := io.ReadFull(random, b[4:]); err != nil {
		return "", fmt.Errorf("draw serial number: %w", err)
	}
	// Never zero in its first octet, whatever the clock says.
	binary.BigEndian.PutUint32(b, uint32(now.Unix()/2)&0x7fffffff|1<<24)
	return Serial(strings.ToUpper(hex.EncodeToString(b))), nil
}

// ParseSerial reads hexadecimal, with or without colons.
func ParseSerial(s string) (Serial, error) {
	n, ok := new(big.Int).SetString(strings.ReplaceAll(s, ":", ""), 16)
	if !ok || n.Sign() <= 0 || n.BitLen() > 159 {
		return "", fmt.Errorf("serial number %.48q: want 1 to 40 hexadecimal digits of a positive number of at most 20 octets", s)
	}
	return SerialFromInt(n), nil
}

// SerialFromInt takes the number of a parsed certificate.
func SerialFromInt(n *big.Int) Serial {
	return Serial(strings.ToUpper(hex.EncodeToString(n.Bytes())))
}

// Int returns the number, zero for no serial.
func (s Serial) Int() *big.Int {
	b, ok := s.octets()
	if !ok {
		return new(big.Int)
	}
	return new(big.Int).SetBytes(b)
}

// octets is the number in big-endian order without leading zeros.
func (s Serial) octets() ([]byte, bool) {
	b, err := hex.DecodeString(string(s))
	if err != nil {
		return nil, false
	}
	return bytes.TrimLeft(b, "\x00"), true
}
