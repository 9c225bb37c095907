// Package trustlist builds, signs, reads and verifies certificate trust lists
// (证书信任列表, LD/T 02.1 §7.3.2): which CA certificates an industry CA vouches for.
//
// No Chinese standard fixes the format (docs/assumptions.md). A list is the
// CertificateTrustList that Microsoft published, with SM3 and SM2:
//
//	CertificateTrustList ::= SEQUENCE {
//	  subjectUsage      SEQUENCE OF OBJECT IDENTIFIER,  -- anyExtendedKeyUsage
//	  listIdentifier    OCTET STRING,                   -- the list's name, ASCII
//	  sequenceNumber    INTEGER,
//	  ctlThisUpdate     Time,
//	  ctlNextUpdate     Time,
//	  subjectAlgorithm  AlgorithmIdentifier,            -- SM3
//	  trustedSubjects   SEQUENCE OF SEQUENCE {
//	    subjectIdentifier OCTET STRING } }              -- SM3 of the certificate
//
// It is signed twice, as PKCS#7 signedData (RFC 2315 §9), by a signer that does
// nothing else: as a [FormCTL], whose content is the list, and as a [FormBundle]
// (.p7b), whose content is the same bytes as data, for tools that import the
// certificates of any PKCS#7 file. Both carry the certificates of the list and
// the signer's, and no other ones.
package trustlist

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
)

// Bounds of a list.
const (
	// MaxEntries is the greatest number of certificates on a list.
	MaxEntries = 1024
	// MaxSigned is the longest signed list in bytes: slapd takes requests of 4 MiB by default.
	MaxSigned = 3 << 20
	// MaxName is the longest name of a list in bytes.
	MaxName = 320
)

// Object identifiers in dotted form.
const (
	oidSignedData    = "1.2.840.113549.1.7.2"
	oidData          = "1.2.840.113549.1.7.1"
	oidTrustList     = "1.3.6.1.4.1.311.10.1"
	oidContentType   = "1.2.840.113549.1.9.3"
	oidMessageDigest = "1.2.840.113549.1.9.4"
	oidSM3           = "1.2.156.10197.1.401"
	oidAnyUsage      = "2.5.29.37.0"
)

// Form is one of the two forms in which a list is signed.
type Form int32

// Forms. Their numbers are kept in ledgers.
const (
	// FormCTL: the content is of type 1.3.6.1.4.1.311.10.1.
	FormCTL Form = 0
	// FormBundle: the content is data, the list's bytes.
	FormBundle Form = 1
)

// Forms are all of them, the one that says last whether a list is whole at the end.
var Forms = []Form{FormBundle, FormCTL}

// Extension of files of a form, with its dot.
func (f Form) Extension() string {
	if f == FormBundle {
		return ".p7b"
	}
	return ".ctl"
}

func (f Form) contentType() string {
	if f == FormBundle {
		return oidData
	}
	return oidTrustList
}

// Identifier names a certificate on a list: SM3 of its DER.
type Identifier [sm3.Size]byte

// Identify returns the identifier of a certificate.
func Identify(c *smx509.Certificate) Identifier { return sm3.Sum(c.Raw) }

// List is what is vouched for.
type List struct {
	// Name tells the lists of one consumer apart, e.g. "industryca-ministry-g1":
	// 1 to MaxName of a-z, 0-9, dot and hyphen.
	Name string
	// Sequence is positive and grows from list to list of a name.
	Sequence int64
	// ThisUpdate and NextUpdate are in whole seconds. After NextUpdate the list is
	// no longer to be relied upon.
	ThisUpdate, NextUpdate time.Time
	// Certificates of CAs, each once, 1 to MaxEntries. They are written by their
	// identifiers' order, and read in it.
	Certificates []*smx509.Certificate
}

// Errors of Parse and Verify, for errors.Is.
var (
	// ErrMalformed: the bytes are no trust list of this format.
	ErrMalformed = errors.New("is not a trust list")
	// ErrSignature: it was changed after it was signed, or damaged.
	ErrSignature = errors.New("the signature does not verify")
	// ErrSigner: whoever signed it may not sign trust lists, or not under this root.
	ErrSigner = errors.New("the signer is not entitled")
	// ErrCertificates: the certificates are not those of the list.
	ErrCertificates = errors.New("the certificates do not match the list")
	// ErrTime: it is not valid at the time.
	ErrTime = errors.New("the list is not current")
	// ErrOlder: a later list was seen before.
	ErrOlder = errors.New("the list is older than one that was seen")
)

func checkName(name string) error {
	if name == "" || len(name) > MaxName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return fmt.Errorf("name %.100q: want 1 to %d of a-z, 0-9, dot and hyphen, e.g. industryca-ministry-g1", name, MaxName)
	}
	return nil
}

// checkTrusted refuses what must not be handed to those who trust a list.
func checkTrusted(c *smx509.Certificate) error {
	if !c.BasicConstraintsValid || !c.IsCA {
		return fmt.Errorf("certificate of %s is not a CA's", c.Subject)
	}
	return nil
}
