package pki

import (
	"fmt"
	"strings"
)

// KeyUsage is a set of the bits of RFC 5280 §4.2.1.3; bit n of the set is bit n there.
type KeyUsage uint16

// Key usages.
const (
	KeyUsageDigitalSignature KeyUsage = 1 << iota
	KeyUsageContentCommitment
	KeyUsageKeyEncipherment
	KeyUsageDataEncipherment
	KeyUsageKeyAgreement
	KeyUsageCertSign
	KeyUsageCRLSign
)

// Sets of usages of the dual certificates (双证书): a signing certificate has
// bits of the first alone, an encryption certificate bits of the second alone,
// a CA exactly the third.
const (
	KeyUsagesSigning    = KeyUsageDigitalSignature | KeyUsageContentCommitment
	KeyUsagesEncryption = KeyUsageKeyEncipherment | KeyUsageDataEncipherment | KeyUsageKeyAgreement
	KeyUsagesCA         = KeyUsageCertSign | KeyUsageCRLSign
)

var keyUsageNames = []string{
	"DigitalSignature", "ContentCommitment", "KeyEncipherment", "DataEncipherment", "KeyAgreement", "CertSign", "CRLSign",
}

// ParseKeyUsage joins the bits named DigitalSignature, ContentCommitment,
// KeyEncipherment, DataEncipherment, KeyAgreement, CertSign and CRLSign.
func ParseKeyUsage(names ...string) (KeyUsage, error) {
	var u KeyUsage
next:
	for _, n := range names {
		for i, known := range keyUsageNames {
			if n == known {
				u |= 1 << i
				continue next
			}
		}
		return 0, fmt.Errorf("key usage %.32q: want one of %s", n, strings.Join(keyUsageNames, ", "))
	}
	return u, nil
}

// String lists the names of the bits.
func (u KeyUsage) String() string {
	var names []string
	for i, n := range keyUsageNames {
		if u&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}

// Check says whether the set may stand in one certificate: of a CA exactly
// CertSign and CRLSign; otherwise bits for signing or for encryption, not both.
func (u KeyUsage) Check(ca bool) error {
	switch {
	case u == 0:
		return fmt.Errorf("key usage: is empty")
	case u >= 1<<len(keyUsageNames):
		return fmt.Errorf("key usage: has an unknown bit")
	case ca && u != KeyUsagesCA:
		return fmt.Errorf("key usage: is %s, want exactly %s for a CA", u, KeyUsagesCA)
	case !ca && u&KeyUsagesCA != 0:
		return fmt.Errorf("key usage: %s is for CA certificates alone", u&KeyUsagesCA)
	case u&KeyUsagesSigning != 0 && u&KeyUsagesEncryption != 0:
		return fmt.Errorf("key usage: mixes %s for signing and %s for encryption; issue two certificates (GM/T 0015, dual certificates)", u&KeyUsagesSigning, u&KeyUsagesEncryption)
	}
	return nil
}

// BitString is the content of the minimal DER BIT STRING, beginning with the
// number of unused bits.
func (u KeyUsage) BitString() []byte {
	var octet byte // all known bits are in the first octet
	unused := 8
	for i := range keyUsageNames {
		if u&(1<<i) != 0 {
			octet |= 0x80 >> i
			unused = 7 - i
		}
	}
	if octet == 0 {
		return []byte{0}
	}
	return []byte{byte(unused), octet}
}

// ParseKeyUsageBits reads the content of a BIT STRING: the number of unused
// bits and at most two octets. The bits encipherOnly and decipherOnly come back
// as bits that Check refuses.
func ParseKeyUsageBits(content []byte) (KeyUsage, error) {
	if len(content) < 2 || len(content) > 3 || content[0] > 7 {
		return 0, fmt.Errorf("key usage: is not a BIT STRING of 1 to 16 bits")
	}
	var u KeyUsage
	for i, octet := range content[1:] {
		for bit := range 8 {
			if octet&(0x80>>bit) != 0 {
				u |= 1 << (8*i + bit)
			}
		}
	}
	return u, nil
}
