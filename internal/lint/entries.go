package lint

import (
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/terrace-pki/terrace/internal/pki"
)

// CRLEntry is what a list says of one certificate.
type CRLEntry struct {
	Serial pki.Serial
	At     time.Time
	Reason pki.Reason
}

// CRLEntries calls yield for each entry of a list, in its order, until it
// returns an error, and returns cRLNumber, 0 when there is none below 2^63.
func CRLEntries(der []byte, yield func(CRLEntry) error) (number int64, err error) {
	c, err := parseCRL(der, Context{})
	if err != nil {
		return 0, fmt.Errorf("read CRL: %w", err)
	}
	if e, ok := c.Find(pki.OIDCRLNumber); ok {
		in := cryptobyte.String(e.Value)
		if !in.ReadASN1Integer(&number) {
			number = 0
		}
	}
	return number, c.each(func(_ int, e crlEntry) error {
		at, err := e.at.time()
		if err != nil {
			return err
		}
		out := CRLEntry{Serial: pki.SerialFromInt(new(big.Int).SetBytes(e.serial)), At: at}
		list, err := readExtensionList(e.extensions)
		if err != nil {
			return err
		}
		if x, ok := find(list, pki.OIDReasonCode); ok {
			in := cryptobyte.String(x.Value)
			if !in.ReadASN1Enum((*int)(&out.Reason)) {
				return fmt.Errorf("reasonCode of %s is malformed", out.Serial)
			}
		}
		return yield(out)
	})
}
