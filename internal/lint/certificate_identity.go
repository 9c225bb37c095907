package lint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Identity extensions of GB/T 20518 beside identifyCode.
const (
	oidInsuranceNumber      = "1.2.156.10260.4.1.2"
	oidICRegistrationNumber = "1.2.156.10260.4.1.3"
	oidOrganizationCode     = "1.2.156.10260.4.1.4"
	oidTaxationNumber       = "1.2.156.10260.4.1.5"
	identityArc             = "1.2.156.10260.4.1."
)

// criticalKnown may be critical, and clients know them.
var criticalKnown = append([]string{
	oidIssuerAltName, oidSubjectDirectoryAttributes, oidPrivateKeyUsagePeriod, oidNameConstraints, oidCertificatePolicies,
	oidPolicyMappings, oidPolicyConstraints, oidInhibitAnyPolicy, oidFreshestCRL,
}, known...)

// oidFreshestCRL is in certificates and lists (RFC 5280 §4.2.1.15, §5.2.6).
const oidFreshestCRL = "2.5.29.46"

var extensionRules = []rule[*CertificateInput]{
	{"extensions-present", SeverityError, kindsCertificate, "RFC 5280 §4.1.2.9", "there is at least one extension", func(c *CertificateInput) error {
		if len(c.Extensions) == 0 {
			return errors.New("has no extensions")
		}
		return nil
	}},
	{"extension-critical-default", SeverityError, kindsCertificate, "X.690 §11.5, RFC 5280 §4.1", "critical FALSE is left out, as a default is in DER", func(c *CertificateInput) error {
		return criticalDefault(c.raw)
	}},
	{"basic-constraints-default", SeverityError, kindsCertificate, "X.690 §11.5, RFC 5280 §4.2.1.9", "cA FALSE is left out, as a default is in DER", func(c *CertificateInput) error {
		if e, ok := c.Find(pki.OIDBasicConstraints); ok && len(e.Value) >= 5 && bytes.Equal(e.Value[2:5], []byte{1, 1, 0}) {
			return errors.New("basicConstraints has cA FALSE written out")
		}
		return nil
	}},
	{"critical-extension-known", SeverityError, kindsCertificate, "RFC 5280 §4.2", "no extension that clients do not know is critical", func(c *CertificateInput) error {
		for _, e := range c.Extensions {
			if e.Critical && strings.HasPrefix(e.OID, "2.5.29.") && !slices.Contains(criticalKnown, e.OID) {
				return fmt.Errorf("extension %s is critical", e.OID)
			}
		}
		return nil
	}},
	{"netscape-extensions", SeverityNotice, kindsCertificate, "RFC 5280 §4.2 (not among them; long dead)", "no extension of Netscape", func(c *CertificateInput) error {
		for _, e := range c.Extensions {
			if strings.HasPrefix(e.OID, "2.16.840.1.113730.1.") {
				return fmt.Errorf("has extension %s", e.OID)
			}
		}
		return nil
	}},
}

// criticalDefault looks for OID, BOOLEAN FALSE, OCTET STRING in a row.
func criticalDefault(raw []byte) error {
	var before [2]element
	return walk(raw, 0, func(e element) error {
		if e.tag == cbasn1.OCTET_STRING && before[1].tag == cbasn1.BOOLEAN && bytes.Equal(before[1].content, []byte{0}) && before[0].tag == cbasn1.OBJECT_IDENTIFIER {
			return errors.New("an extension has critical FALSE written out")
		}
		before[0], before[1] = before[1], e
		return nil
	})
}

var identityRules = []rule[*CertificateInput]{
	{"identity-string", SeverityError, kindsCertificate, "GB/T 20518, GM/T 0015-2012 §5.2.4.2 (from two implementations)", "insuranceNumber, ICRegistrationNumber and taxationNumber are one PrintableString", func(c *CertificateInput) error {
		for _, oid := range []string{oidInsuranceNumber, oidICRegistrationNumber, oidTaxationNumber} {
			if tag, ok := c.stringTag(oid); ok && tag != cbasn1.PrintableString {
				return fmt.Errorf("extension %s has string type %d, want PrintableString", oid, tag)
			}
		}
		return nil
	}},
	{"identity-organization-string", SeverityWarning, kindsCertificate, "GB/T 20518 (UTF8String is met in the wild)", "organizationCode is one PrintableString", func(c *CertificateInput) error {
		if tag, ok := c.stringTag(oidOrganizationCode); ok && tag != cbasn1.PrintableString {
			return fmt.Errorf("organizationCode has string type %d, want PrintableString", tag)
		}
		return nil
	}},
	{"identity-known", SeverityNotice, kindsCertificate, "GB/T 20518 (.1 to .5)", "extensions under 1.2.156.10260.4.1 are of the five known ones", func(c *CertificateInput) error {
		for _, e := range c.Extensions {
			if rest, ok := strings.CutPrefix(e.OID, identityArc); ok && (len(rest) != 1 || rest < "1" || rest > "5") {
				return fmt.Errorf("has extension %s", e.OID)
			}
		}
		return nil
	}},
	{"identity-legacy", SeverityWarning, kindsCertificate, "GB/T 20518-2006 and before (secondary; sources disagree on what each means)", "no identity extension under the older 1.2.86.11.7 or 1.2.156.11.7", func(c *CertificateInput) error {
		for _, e := range c.Extensions {
			if strings.HasPrefix(e.OID, "1.2.86.11.7.") || strings.HasPrefix(e.OID, "1.2.156.11.7.") {
				return fmt.Errorf("has extension %s", e.OID)
			}
		}
		return nil
	}},
	{"identity-not-of-ca", SeverityNotice, KindCA, "GB/T 20518 (they identify subscribers)", "a CA has no identity extension", func(c *CertificateInput) error {
		for _, e := range c.Extensions {
			if strings.HasPrefix(e.OID, identityArc) {
				return fmt.Errorf("a CA has extension %s", e.OID)
			}
		}
		return nil
	}},
	{"identity-card-number", SeverityWarning, kindsCertificate, "GB 11643-1999 §4 (公民身份号码)", "a resident card number has 18 places and its check digit", func(c *CertificateInput) error {
		e, ok := c.Find(oidIdentifyCode)
		if !ok {
			return nil
		}
		in := cryptobyte.String(e.Value)
		var choice, number cryptobyte.String
		if !in.ReadASN1(&choice, explicit(0)) || !choice.ReadASN1(&number, cbasn1.PrintableString) {
			return nil // another choice, or identity-explicit-tag
		}
		if !residentCard(number) {
			return errors.New("resident card number has not 18 places or another check digit") // the number is not for logs
		}
		return nil
	}},
}

// residentCard checks the check digit, ISO 7064 MOD 11-2 over weights.
func residentCard(number []byte) bool {
	if len(number) != 18 {
		return false
	}
	sum, weights := 0, [...]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}
	for i, w := range weights {
		if number[i] < '0' || number[i] > '9' {
			return false
		}
		sum += w * int(number[i]-'0')
	}
	return number[17] == "10X98765432"[sum%11]
}

// stringTag is the tag of the one element of an extension.
func (c *CertificateInput) stringTag(oid string) (cbasn1.Tag, bool) {
	e, ok := c.Find(oid)
	if !ok {
		return 0, false
	}
	in := cryptobyte.String(e.Value)
	var content cryptobyte.String
	var tag cbasn1.Tag
	if !in.ReadAnyASN1(&content, &tag) || !in.Empty() {
		return 0, false // extension-value-der
	}
	return tag, true
}
