package lint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	oidServerAuth      = "1.3.6.1.5.5.7.3.1"
	oidClientAuth      = "1.3.6.1.5.5.7.3.2"
	oidCodeSigning     = "1.3.6.1.5.5.7.3.3"
	oidEmailProtection = "1.3.6.1.5.5.7.3.4"

	usageEncipherOnly pki.KeyUsage = 1 << 7
	usageDecipherOnly pki.KeyUsage = 1 << 8
)

// usageFor are the key usages of which an extended one needs at least one.
var usageFor = []struct {
	oid, name string
	any       pki.KeyUsage
}{
	{oidServerAuth, "serverAuth", pki.KeyUsageDigitalSignature | pki.KeyUsageKeyEncipherment | pki.KeyUsageKeyAgreement},
	{oidClientAuth, "clientAuth", pki.KeyUsageDigitalSignature | pki.KeyUsageKeyAgreement | pki.KeyUsageKeyEncipherment},
	{oidCodeSigning, "codeSigning", pki.KeyUsageDigitalSignature},
	{oidEmailProtection, "emailProtection", pki.KeyUsagesSigning | pki.KeyUsageKeyEncipherment | pki.KeyUsageKeyAgreement},
}

func (c *CertificateInput) hasUsage(oid string) bool { return slices.Contains(c.read.usages, oid) }

func (c *CertificateInput) selfIssued() bool { return bytes.Equal(c.IssuerDER, c.SubjectDER) }

// lifetime is 0 when it cannot be told.
func (c *CertificateInput) lifetime() time.Duration {
	if c.read.notBefore.err != nil || c.read.notAfter.err != nil {
		return 0
	}
	return c.read.notAfter.Sub(c.read.notBefore.Time)
}

// maxResponderLifetime is ours: who skips revocation checks must not live long.
const maxResponderLifetime = 398 * 24 * time.Hour

var purposeRules = []rule[*CertificateInput]{
	{"serial-entropy", SeverityNotice, kindsCertificate, "RFC 5280 §8 and practice (64 random bits); secondary", "the serial number has at least 8 octets", func(c *CertificateInput) error {
		if len(c.Serial) < 8 {
			return fmt.Errorf("serial number has %d octets, which can be foreseen", len(c.Serial))
		}
		return nil
	}},
	{"not-after-defined", SeverityNotice, kindsCertificate, "RFC 5280 §4.1.2.5", "notAfter is not 99991231235959Z, which means no end", func(c *CertificateInput) error {
		if string(c.NotAfter.raw) == "99991231235959Z" {
			return errors.New("certificate never ends")
		}
		return nil
	}},
	{"key-not-issuers", SeverityError, kindsEndEntity, "GM/T 0034-2014 (a CA's key signs certificates and lists alone); secondary", "the key of an end entity is not its CA's", func(c *CertificateInput) error {
		if c.Issuer != nil && bytes.Equal(c.SPKI, c.Issuer.RawSubjectPublicKeyInfo) {
			return errors.New("the key is the issuer's own")
		}
		return nil
	}},
	{"key-usage-known-bits", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.3", "keyUsage has none but the nine defined bits", func(c *CertificateInput) error {
		if c.read.keyUsage >= 1<<9 {
			return errors.New("keyUsage has a bit above decipherOnly")
		}
		return nil
	}},
	{"key-usage-only-with-agreement", SeverityError, kindsCertificate, "RFC 5280 §4.2.1.3", "encipherOnly and decipherOnly go with keyAgreement", func(c *CertificateInput) error {
		if u := c.read.keyUsage; u&(usageEncipherOnly|usageDecipherOnly) != 0 && u&pki.KeyUsageKeyAgreement == 0 {
			return errors.New("keyUsage has encipherOnly or decipherOnly without keyAgreement")
		}
		return nil
	}},
	{"signing-digital-signature", SeverityWarning, KindSigning, "GM/T 0015, GB/T 20518 (secondary: 签名证书 digitalSignature, nonRepudiation)", "a signing certificate has digitalSignature", func(c *CertificateInput) error {
		if u := c.read.keyUsage; u != 0 && u&pki.KeyUsageDigitalSignature == 0 {
			return fmt.Errorf("keyUsage of a signing certificate is %s", u)
		}
		return nil
	}},
	{"encryption-encipherment", SeverityWarning, KindEncryption, "GM/T 0015, GB/T 20518 (secondary: 加密证书 keyEncipherment, dataEncipherment)", "an encryption certificate has keyEncipherment and dataEncipherment", func(c *CertificateInput) error {
		const want = pki.KeyUsageKeyEncipherment | pki.KeyUsageDataEncipherment
		if u := c.read.keyUsage; u != 0 && u&want != want {
			return fmt.Errorf("keyUsage of an encryption certificate is %s", u)
		}
		return nil
	}},
	{"ext-key-usage-consistent", SeverityError, kindsEndEntity, "RFC 5280 §4.2.1.12", "keyUsage has a bit that each extended usage can be done with", func(c *CertificateInput) error {
		for _, u := range usageFor {
			if c.hasUsage(u.oid) && c.read.keyUsage != 0 && c.read.keyUsage&u.any == 0 {
				return fmt.Errorf("keyUsage %s is of no use for %s", c.read.keyUsage, u.name)
			}
		}
		return nil
	}},
	{"ocsp-ext-key-usage", SeverityError, KindOCSPSigner, "RFC 6960 §4.2.2.2", "an OCSP responder has the usage OCSPSigning", func(c *CertificateInput) error {
		if !c.hasUsage(pki.OIDExtKeyUsageOCSPSigning) {
			return errors.New("extendedKeyUsage has no OCSPSigning")
		}
		return nil
	}},
	{"ocsp-ext-key-usage-alone", SeverityWarning, KindOCSPSigner, "RFC 6960 §2.6 (a key for the purpose); practice", "OCSPSigning is the only extended usage of a responder", func(c *CertificateInput) error {
		if c.hasUsage(pki.OIDExtKeyUsageOCSPSigning) && len(c.read.usages) > 1 {
			return errors.New("extendedKeyUsage has more than OCSPSigning")
		}
		return nil
	}},
	{"ocsp-key-usage", SeverityError, KindOCSPSigner, "RFC 5280 §4.2.1.12", "a responder signs: digitalSignature or contentCommitment, and nothing else", func(c *CertificateInput) error {
		if u := c.read.keyUsage; u != 0 && u&^pki.KeyUsagesSigning != 0 {
			return fmt.Errorf("keyUsage of an OCSP responder is %s", u)
		}
		return nil
	}},
	{"ocsp-lifetime", SeverityWarning, KindOCSPSigner, "RFC 6960 §4.2.2.2.1 (short; the number is ours)", "a responder that is not checked for revocation lives 398 days at most", func(c *CertificateInput) error {
		if _, ok := c.Find(pki.OIDOCSPNoCheck); ok && c.lifetime() > maxResponderLifetime {
			return fmt.Errorf("is valid for %d days", c.lifetime()/(24*time.Hour))
		}
		return nil
	}},
	{"no-check-for-responders", SeverityWarning, kindsCertificate, "RFC 6960 §4.2.2.2.1", "id-pkix-ocsp-nocheck stands in certificates of OCSP responders alone", func(c *CertificateInput) error {
		if _, ok := c.Find(pki.OIDOCSPNoCheck); ok && !c.hasUsage(pki.OIDExtKeyUsageOCSPSigning) {
			return errors.New("has id-pkix-ocsp-nocheck without OCSPSigning")
		}
		return nil
	}},
	{"tsa-ext-key-usage", SeverityError, KindTSA, "RFC 3161 §2.3, GM/T 0033-2014", "a time stamp signer has the usage timeStamping", func(c *CertificateInput) error {
		if !c.hasUsage(pki.OIDExtKeyUsageTimeStamping) {
			return errors.New("extendedKeyUsage has no timeStamping")
		}
		return nil
	}},
	{"tsa-key-usage", SeverityError, KindTSA, "RFC 5280 §4.2.1.12", "a time stamp signer signs: digitalSignature or contentCommitment, and nothing else", func(c *CertificateInput) error {
		if u := c.read.keyUsage; u != 0 && u&^pki.KeyUsagesSigning != 0 {
			return fmt.Errorf("keyUsage of a time stamp signer is %s", u)
		}
		return nil
	}},
	{"ca-no-ext-key-usage", SeverityWarning, KindCA, "RFC 5280 §4.2.1.12 (in general for end entities)", "a CA has no extendedKeyUsage", func(c *CertificateInput) error {
		if len(c.read.usages) > 0 {
			return errors.New("a CA has extendedKeyUsage, which some clients apply to all below it")
		}
		return nil
	}},
	{"ca-path-length-present", SeverityNotice, KindCA, "RFC 5280 §4.2.1.9", "a CA below another has a path length", func(c *CertificateInput) error {
		if bc := c.read.constraints; !c.selfIssued() && bc.ca && bc.err == nil && bc.pathLen < 0 {
			return errors.New("basicConstraints has no path length")
		}
		return nil
	}},
	{"ca-key-id-not-issuers", SeverityWarning, KindCA, "RFC 5280 §4.2.1.1, §4.2.1.2", "the key identifiers of a CA below another differ", func(c *CertificateInput) error {
		id, there, err := c.subjectKeyID()
		aki, err2 := readAuthorityKeyID(c.Extensions)
		if !c.selfIssued() && err == nil && err2 == nil && there && len(id) > 0 && bytes.Equal(id, aki.keyID) {
			return errors.New("subjectKeyIdentifier and authorityKeyIdentifier are the same")
		}
		return nil
	}},
}
