package crl

import (
	"encoding/hex"
	"fmt"

	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// entrySize is what an entry takes at most: a serial of 20 octets, a time and a reason.
const entrySize = 60

// marshalEntries writes revokedCertificates, or nothing for an empty list
// (RFC 5280 §5.1.2.6).
//
// Nested cryptobyte builders allocate some ten objects per entry. The parts
// whose length is known are therefore written by hand here.
func marshalEntries(entries []Entry) ([]byte, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	content := make([]byte, 0, len(entries)*entrySize)
	var err error
	for _, e := range entries {
		if content, err = appendEntry(content, e); err != nil {
			return nil, fmt.Errorf("entry %.48s: %w", string(e.Serial), err)
		}
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(content)+16))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(content) })
	return b.Bytes()
}

// appendEntry appends SEQUENCE { serial, revocationDate, crlEntryExtensions OPTIONAL }.
// All of it is shorter than 128 bytes, so that lengths take one octet.
func appendEntry(out []byte, e Entry) ([]byte, error) {
	start := len(out)
	out = append(out, 0x30, 0)

	var serial [20]byte
	if len(e.Serial) == 0 || len(e.Serial)%2 != 0 || len(e.Serial) > 2*len(serial) {
		return nil, fmt.Errorf("serial: want 1 to %d octets in hexadecimal", len(serial))
	}
	n, err := hex.Decode(serial[:], []byte(e.Serial))
	if err != nil || serial[0] == 0 || (n == len(serial) && serial[0] >= 0x80) {
		return nil, fmt.Errorf("serial: want a positive number of at most %d octets, without leading zeros", len(serial))
	}
	if serial[0] >= 0x80 {
		out = append(out, 0x02, byte(n+1), 0)
	} else {
		out = append(out, 0x02, byte(n))
	}
	out = append(out, serial[:n]...)

	at := e.At.UTC()
	switch y := at.Year(); {
	case y < 1950 || y > 9999:
		return nil, fmt.Errorf("revocation date: year %d is outside 1950 to 9999", y)
	case y < 2050:
		out = append(out, 0x17, 13)
		out = at.AppendFormat(out, "060102150405Z")
	default:
		out = append(out, 0x18, 15)
		out = at.AppendFormat(out, "20060102150405Z")
	}

	// RFC 5280 §5.3.1: absent rather than unspecified.
	if e.Reason != pki.ReasonUnspecified {
		if !e.Reason.OnCRL() {
			return nil, fmt.Errorf("reason: %s cannot stand on a full CRL", e.Reason)
		}
		out = append(out, 0x30, 12, 0x30, 10, 0x06, 3, 0x55, 0x1d, 0x15, 0x04, 3, 0x0a, 1, byte(e.Reason))
	}
	out[start+1] = byte(len(out) - start - 2)
	return out, nil
}
