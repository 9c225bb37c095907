package crl

import (
	"encoding/hex"
	"fmt"

	"github.com/terrace-pki/terrace/internal/pki"
)

// reasonHeader is the one extension of an entry, reasonCode, up to its last octet.
const reasonHeader = "\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01"

// appendEntry appends SEQUENCE { serial, revocationDate, crlEntryExtensions OPTIONAL }.
// All of it is shorter than 128 bytes, so that lengths take one octet. It is
// written by hand, for nested builders allocate some ten objects per entry.
func appendEntry(out []byte, e Entry, delta bool) ([]byte, error) {
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
		if !e.Reason.OnCRL() && !(delta && e.Reason == pki.ReasonRemoveFromCRL) {
			return nil, fmt.Errorf("reason: %s cannot stand on a full CRL", e.Reason)
		}
		out = append(out, 0x30, 12)
		out = append(append(out, reasonHeader...), byte(e.Reason))
	}
	out[start+1] = byte(len(out) - start - 2)
	return out, nil
}
