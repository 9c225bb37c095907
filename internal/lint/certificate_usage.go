package lint

import (
	"errors"
	"fmt"
	"slices"

	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const oidAnyExtKeyUsage = "2.5.29.37.0"

var usageChecks = []Check[*CertificateInput]{
	{"key-usage-present", "RFC 5280 §4.2.1.3", func(c *CertificateInput) error {
		return c.read.keyUsageErr
	}},
	{"key-usage-critical", "RFC 5280 §4.2.1.3", func(c *CertificateInput) error {
		if e, ok := c.Find(pki.OIDKeyUsage); ok && !e.Critical {
			return errors.New("keyUsage is not critical")
		}
		return nil
	}},
	{"dual-usage", "GM/T 0015, GM/T 0034-2014 (dual certificates)", func(c *CertificateInput) error {
		u := c.read.keyUsage
		if u&pki.KeyUsagesSigning != 0 && u&pki.KeyUsagesEncryption != 0 {
			return fmt.Errorf("keyUsage mixes signing and encryption: %s", u)
		}
		return nil
	}},
	{"ca-key-usage", "RFC 5280 §4.2.1.3, GM/T 0015", func(c *CertificateInput) error {
		if u := c.read.keyUsage; u != 0 && c.read.constraints.ca && u != pki.KeyUsagesCA {
			return fmt.Errorf("keyUsage of a CA is %s, want exactly %s", u, pki.KeyUsagesCA)
		}
		return nil
	}},
	{"ca-basic-constraints", "RFC 5280 §4.2.1.9", func(c *CertificateInput) error {
		bc := c.read.constraints
		if c.read.keyUsage&pki.KeyUsagesCA == 0 && !bc.ca {
			return nil
		}
		if !bc.ca || !bc.critical || bc.err != nil {
			return errors.New("basicConstraints of a CA is not critical with cA TRUE")
		}
		return nil
	}},
	{"basic-constraints-form", "RFC 5280 §4.2.1.9", func(c *CertificateInput) error {
		bc := c.read.constraints
		if bc.err == nil && bc.pathLen >= 0 && !bc.ca {
			return errors.New("basicConstraints has a path length without cA TRUE")
		}
		if bc.err != nil && c.read.keyUsage&pki.KeyUsagesCA == 0 {
			return bc.err
		}
		return nil
	}},
	{"path-length-within-issuer", "RFC 5280 §6.1.4 (l), (m)", func(c *CertificateInput) error {
		bc, i := c.read.constraints, c.Issuer
		if i == nil || !bc.ca || (i.MaxPathLen <= 0 && !i.MaxPathLenZero) {
			return nil
		}
		if bc.pathLen < 0 || bc.pathLen >= i.MaxPathLen {
			return fmt.Errorf("path length of the new CA is %d, of its issuer %d; want a smaller one than the issuer's", bc.pathLen, i.MaxPathLen)
		}
		return nil
	}},
	{"ext-key-usage-form", "RFC 5280 §4.2.1.12", func(c *CertificateInput) error {
		usages := c.read.usages
		if c.read.usagesErr != nil {
			return c.read.usagesErr
		}
		for i, u := range usages {
			if u == oidAnyExtKeyUsage || slices.Contains(usages[:i], u) {
				return fmt.Errorf("extendedKeyUsage has %s, which is anyExtendedKeyUsage or repeated", u)
			}
		}
		return nil
	}},
	{"ocsp-signing-no-check", "RFC 6960 §4.2.2.2.1", func(c *CertificateInput) error {
		usages := c.read.usages
		e, there := c.Find(pki.OIDOCSPNoCheck)
		if slices.Contains(usages, pki.OIDExtKeyUsageOCSPSigning) && (!there || string(e.Value) != "\x05\x00") {
			return errors.New("has OCSPSigning without id-pkix-ocsp-nocheck of NULL")
		}
		return nil
	}},
	{"time-stamping-alone", "RFC 3161 §2.3, GM/T 0033-2014", func(c *CertificateInput) error {
		usages := c.read.usages
		e, _ := c.Find(pki.OIDExtKeyUsage)
		if slices.Contains(usages, pki.OIDExtKeyUsageTimeStamping) && (len(usages) != 1 || !e.Critical) {
			return errors.New("timeStamping is not the only extended key usage, or not critical")
		}
		return nil
	}},
}

func parseKeyUsage(value []byte) (pki.KeyUsage, error) {
	in := cryptobyte.String(value)
	var bits cryptobyte.String
	if !in.ReadASN1(&bits, cbasn1.BIT_STRING) || !in.Empty() {
		return 0, errors.New("keyUsage is not a BIT STRING")
	}
	u, err := pki.ParseKeyUsageBits(bits)
	if err == nil && u < 1<<7 && string(u.BitString()) != string(bits) {
		err = errors.New("keyUsage has trailing zero bits, which DER forbids")
	}
	return u, err
}

// readKeyUsage has an error, and no usage, also when there is no bit.
func (c *CertificateInput) readKeyUsage() (pki.KeyUsage, error) {
	e, ok := c.Find(pki.OIDKeyUsage)
	if !ok {
		return 0, errors.New("keyUsage is missing")
	}
	u, err := parseKeyUsage(e.Value)
	switch {
	case err != nil:
		return 0, err
	case u == 0:
		return 0, errors.New("keyUsage has no bit")
	}
	return u, nil
}

type constraints struct {
	critical bool
	ca       bool
	pathLen  int // -1: none
	err      error
}

func (c *CertificateInput) readConstraints() constraints {
	out := constraints{pathLen: -1}
	e, ok := c.Find(pki.OIDBasicConstraints)
	if !ok {
		return out
	}
	out.critical = e.Critical
	in := cryptobyte.String(e.Value)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || (seq.PeekASN1Tag(cbasn1.BOOLEAN) && !seq.ReadASN1Boolean(&out.ca)) {
		out.err = errors.New("basicConstraints is malformed")
		return out
	}
	if !seq.Empty() && (!seq.ReadASN1Integer(&out.pathLen) || !seq.Empty() || out.pathLen < 0) {
		out.err = errors.New("pathLenConstraint is malformed")
	}
	return out
}

// readExtKeyUsages returns none when the extension is missing.
func (c *CertificateInput) readExtKeyUsages() ([]string, error) {
	e, ok := c.Find(pki.OIDExtKeyUsage)
	if !ok {
		return nil, nil
	}
	in := cryptobyte.String(e.Value)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || seq.Empty() {
		return nil, errors.New("extendedKeyUsage is not a SEQUENCE of at least one usage")
	}
	var out []string
	for !seq.Empty() {
		oid, ok := pki.ReadOID(&seq)
		if !ok {
			return nil, errors.New("extendedKeyUsage is malformed")
		}
		out = append(out, oid)
	}
	return out, nil
}
