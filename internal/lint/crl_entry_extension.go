package lint

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	oidHoldInstruction   = "2.5.29.23"
	oidInvalidityDate    = "2.5.29.24"
	oidCertificateIssuer = "2.5.29.29"

	reasonUnused            = 7
	reasonRemoveFromCRL     = 8
	reasonLast              = 10
	reasonUnspecified   int = int(pki.ReasonUnspecified)
)

// entryRule runs f for the extensions of each entry.
func entryRule(name string, severity Severity, source, demands string, f func(c *CRLInput, list []Extension) error) rule[*CRLInput] {
	return rule[*CRLInput]{name, severity, kindsCRL, source, demands, func(c *CRLInput) error {
		return c.each(func(_ int, e crlEntry) error {
			if !e.present {
				return nil
			}
			list, err := readExtensionList(e.extensions)
			if err != nil {
				return nil // crl-entry-extensions
			}
			return f(c, list)
		})
	}}
}

// reasonRule runs f for each reasonCode that is one.
func reasonRule(name string, severity Severity, source, demands string, f func(c *CRLInput, reason int) error) rule[*CRLInput] {
	return entryRule(name, severity, source, demands, func(c *CRLInput, list []Extension) error {
		e, ok := find(list, pki.OIDReasonCode)
		in := cryptobyte.String(e.Value)
		var reason int
		if !ok || !in.ReadASN1Enum(&reason) || !in.Empty() {
			return nil // crl-entry-reason-form
		}
		return f(c, reason)
	})
}

var crlEntryRules = []rule[*CRLInput]{
	{"crl-entry-extensions", SeverityError, kindsCRL, "RFC 5280 §5.1, §5.1.2.6", "crlEntryExtensions is a SEQUENCE of at least one extension", func(c *CRLInput) error {
		return c.each(func(_ int, e crlEntry) error {
			if !e.present {
				return nil
			}
			list, err := readExtensionList(e.extensions)
			if err == nil && len(list) == 0 {
				err = errors.New("crlEntryExtensions is empty")
			}
			return err
		})
	}},
	{"crl-entry-not-later", SeverityError, kindsCRL, "RFC 5280 §5.1.2.4, §5.1.2.6", "nothing was revoked after thisUpdate", func(c *CRLInput) error {
		this := c.ThisUpdate.moment()
		return c.each(func(_ int, e crlEntry) error {
			if at := e.at.moment(); this.err == nil && at.err == nil && at.After(this.Time) {
				return errors.New("revocationDate is after thisUpdate")
			}
			return nil
		})
	}},
	entryRule("crl-entry-extension-once", SeverityError, "RFC 5280 §5.3, §4.2", "each extension of an entry is there once", func(_ *CRLInput, list []Extension) error { return noDuplicates(list) }),
	entryRule("crl-entry-critical-known", SeverityError, "RFC 5280 §5.3", "no extension of an entry is critical but certificateIssuer", func(_ *CRLInput, list []Extension) error {
		for _, e := range list {
			if e.Critical && e.OID != oidCertificateIssuer {
				return fmt.Errorf("extension %s is critical", e.OID)
			}
		}
		return nil
	}),
	entryRule("crl-entry-reason-form", SeverityError, "RFC 5280 §5.3.1", "reasonCode is an ENUMERATED", func(_ *CRLInput, list []Extension) error {
		e, ok := find(list, pki.OIDReasonCode)
		in := cryptobyte.String(e.Value)
		var reason int
		if ok && (!in.ReadASN1Enum(&reason) || !in.Empty()) {
			return errors.New("reasonCode is not an ENUMERATED")
		}
		return nil
	}),
	reasonRule("crl-entry-reason-known", SeverityError, "RFC 5280 §5.3.1", "reasonCode is 0 to 10, and not 7", func(_ *CRLInput, reason int) error {
		if reason < 0 || reason > reasonLast || reason == reasonUnused {
			return fmt.Errorf("reasonCode is %d", reason)
		}
		return nil
	}),
	reasonRule("crl-entry-reason-unspecified", SeverityWarning, "RFC 5280 §5.3.1 (SHOULD be absent)", "reasonCode unspecified is left out", func(_ *CRLInput, reason int) error {
		if reason == reasonUnspecified {
			return errors.New("reasonCode is unspecified")
		}
		return nil
	}),
	reasonRule("crl-entry-remove-from-crl", SeverityError, "RFC 5280 §5.3.1", "removeFromCRL stands in a delta alone", func(c *CRLInput, reason int) error {
		if _, delta := c.Find(oidDeltaCRLIndicator); reason == reasonRemoveFromCRL && !delta {
			return errors.New("reasonCode is removeFromCRL in a full list")
		}
		return nil
	}),
	entryRule("crl-entry-invalidity-date", SeverityError, "RFC 5280 §5.3.2", "invalidityDate is a GeneralizedTime in whole seconds with Z", func(_ *CRLInput, list []Extension) error {
		e, ok := find(list, oidInvalidityDate)
		if !ok {
			return nil
		}
		in := cryptobyte.String(e.Value)
		var s stamp
		if !readStamp(&in, &s) || !in.Empty() || s.tag != cbasn1.GeneralizedTime || s.moment().err != nil {
			return errors.New("invalidityDate is not a GeneralizedTime in whole seconds with Z")
		}
		return nil
	}),
	entryRule("crl-entry-certificate-issuer", SeverityError, "RFC 5280 §5.3.3", "certificateIssuer is critical, and stands in an indirect list alone", func(c *CRLInput, list []Extension) error {
		e, ok := find(list, oidCertificateIssuer)
		if s, err := c.scope(); ok && (!e.Critical || err == nil && !s.indirect) {
			return errors.New("certificateIssuer is not critical, or the list is not indirect")
		}
		return nil
	}),
	entryRule("crl-entry-hold-instruction", SeverityNotice, "RFC 3280 §5.3.2 (dropped by RFC 5280)", "holdInstructionCode is left out", func(_ *CRLInput, list []Extension) error {
		if _, ok := find(list, oidHoldInstruction); ok {
			return errors.New("has holdInstructionCode")
		}
		return nil
	}),
}

var crlRules = slices.Concat(crlExtensionRules, scopeRules, deltaRules, crlEntryRules)
