package lint

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
)

var crlEntryChecks = []Check[*CRLInput]{
	{"crl-entries-absent-when-empty", "RFC 5280 §5.1.2.6", func(c *CRLInput) error {
		if c.EntriesThere && len(c.Entries) == 0 {
			return errors.New("revokedCertificates is there but empty")
		}
		return nil
	}},
	{"crl-entry-serial", "RFC 5280 §4.1.2.2, §5.1.2.6", func(c *CRLInput) error {
		return c.each(func(_ int, e crlEntry) error {
			if len(e.serial) > 20 {
				return fmt.Errorf("serial number has %d octets, at most 20 are allowed", len(e.serial))
			}
			return serialPositive(e.serial)
		})
	}},
	// The order is ours: it lets two lists be compared and one be searched.
	{"crl-entry-order", "RFC 5280 §5.1.2.6 (each certificate once)", func(c *CRLInput) error {
		var last []byte
		return c.each(func(i int, e crlEntry) error {
			if i > 0 && compareSerials(last, e.serial) >= 0 {
				return errors.New("serial number is not greater than the one before")
			}
			last = e.serial
			return nil
		})
	}},
	{"crl-entry-time-encoding", "RFC 5280 §5.1.2.6", func(c *CRLInput) error {
		return c.each(func(_ int, e crlEntry) error { return e.at.checkEncoding() })
	}},
	{"crl-entry-reason", "RFC 5280 §5.3.1", func(c *CRLInput) error {
		return c.each(func(_ int, e crlEntry) error { return checkEntryReason(e, c.delta()) })
	}},
}

// reasonExtension is the one extension of an entry, up to the reason's octet.
var reasonExtension = []byte{0x30, 10, 0x06, 3, 0x55, 0x1d, 0x15, 0x04, 3, 0x0a, 1}

func checkEntryReason(e crlEntry, delta bool) error {
	if !e.present {
		return nil
	}
	n := len(reasonExtension)
	if len(e.extensions) == n+1 && bytes.HasPrefix(e.extensions, reasonExtension) {
		return checkReason(int(e.extensions[n]), delta)
	}
	// The slow way is for the message.
	list, err := readExtensionList(e.extensions)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return errors.New("crlEntryExtensions is there but empty")
	}
	for _, x := range list {
		var reason int
		in := cryptobyte.String(x.Value)
		switch {
		case x.OID != pki.OIDReasonCode:
			return fmt.Errorf("extension %s is none of Terrace's", x.OID)
		case x.Critical:
			return errors.New("reasonCode is critical")
		case !in.ReadASN1Enum(&reason) || !in.Empty():
			return errors.New("reasonCode is not an ENUMERATED")
		}
		if err := checkReason(reason, delta); err != nil {
			return err
		}
	}
	return errors.New("crlEntryExtensions is not one reasonCode in DER")
}

func checkReason(reason int, delta bool) error {
	r := pki.Reason(reason)
	if delta && r == pki.ReasonRemoveFromCRL {
		return nil
	}
	if r == pki.ReasonUnspecified || !r.OnCRL() {
		return fmt.Errorf("reasonCode is %s; leave unspecified out, and keep removeFromCRL for delta CRLs", r)
	}
	return nil
}
