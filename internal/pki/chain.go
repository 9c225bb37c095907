package pki

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/emmansun/gmsm/smx509"
)

// MaxChain is the greatest number of CA certificates above one.
const MaxChain = MaxPathLen + 2

// URLs are what a certificate says about where its issuer publishes.
type URLs struct {
	CRL, OCSP, CAIssuers []string
	// FreshestCRL are those of the delta CRL (RFC 5280 §4.2.1.15).
	FreshestCRL []string
}

// VerifyChain verifies cert up to the root (RFC 5280 §6.1): chain is ordered
// issuer first, root last, and the root is self-signed. Of every certificate it
// checks the name link, SM2 signature and dates at a time, and of every CA the
// basic constraints, path length and keyCertSign. Critical constraints on names
// and policies are refused, for they are not evaluated. When cert is a CA itself
// it counts against the path lengths above it, which is stricter than RFC 5280:
// a CA that can never issue is found before it is set up.
//
// Whether the root is to be trusted is for the caller to know. Revocation is
// not checked.
func VerifyChain(cert *smx509.Certificate, chain []*smx509.Certificate, at time.Time) error {
	if cert == nil {
		return errors.New("verify chain: no certificate")
	}
	if len(chain) > MaxChain {
		return fmt.Errorf("verify chain: has %d CA certificates, at most %d are allowed", len(chain), MaxChain)
	}
	path := append([]*smx509.Certificate{cert}, chain...)
	below := 0 // intermediate CAs below, self-issued ones not counted
	for i, c := range path {
		if c == nil {
			return fmt.Errorf("verify chain: certificate %d of %d is nil", i+1, len(path))
		}
		issuer := c // a root
		if i+1 < len(path) {
			issuer = path[i+1]
		}
		if err := verifyLink(c, issuer, at); err != nil {
			return fmt.Errorf("verify chain: certificate %d of %d (%s): %w", i+1, len(path), describe(c), err)
		}
		if i > 0 || len(path) == 1 {
			if err := verifyCA(c, below); err != nil {
				return fmt.Errorf("verify chain: certificate %d of %d (%s): %w", i+1, len(path), describe(c), err)
			}
		}
		if (i > 0 || c.IsCA) && !bytes.Equal(c.RawSubject, c.RawIssuer) {
			below++
		}
	}
	return nil
}

func describe(c *smx509.Certificate) string {
	if n, err := ParseNameDER(c.RawSubject); err == nil && !n.IsEmpty() {
		return n.String()
	}
	return "serial " + string(SerialFromInt(c.SerialNumber))
}

func verifyLink(c, issuer *smx509.Certificate, at time.Time) error {
	if issuer == nil {
		return errors.New("its issuer is nil")
	}
	switch {
	case c.Version != 3:
		return fmt.Errorf("version is %d, want 3", c.Version)
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject) && c == issuer:
		return errors.New("is the last one but not self-signed; append the certificates up to the root")
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("its issuer is not the subject of the next certificate (%s); order the chain issuer first", describe(issuer))
	case len(c.AuthorityKeyId) > 0 && len(issuer.SubjectKeyId) > 0 && !bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId):
		return fmt.Errorf("its authority key identifier is not the subject key identifier of %s", describe(issuer))
	case c.SignatureAlgorithm != smx509.SM2WithSM3:
		return fmt.Errorf("is signed with %s, want SM2 with SM3", c.SignatureAlgorithm)
	case at.Before(c.NotBefore):
		return fmt.Errorf("is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	case at.After(c.NotAfter):
		return fmt.Errorf("expired at %s", c.NotAfter.UTC().Format(time.RFC3339))
	}
	pub, err := ParseSM2SPKI(issuer.RawSubjectPublicKeyInfo)
	if err != nil {
		return fmt.Errorf("issuer %s: %w", describe(issuer), err)
	}
	if !VerifySignature(pub, c.RawTBSCertificate, c.Signature) {
		return fmt.Errorf("its signature does not verify under the key of %s", describe(issuer))
	}
	for _, oid := range c.UnhandledCriticalExtensions {
		return fmt.Errorf("has the unknown critical extension %s", oid)
	}
	for _, e := range c.Extensions {
		switch id := e.Id.String(); id {
		case "2.5.29.30", "2.5.29.33", "2.5.29.36", "2.5.29.54":
			if e.Critical {
				return fmt.Errorf("has the critical extension %s (name or policy constraints), which is not supported", id)
			}
		}
	}
	return nil
}

func verifyCA(c *smx509.Certificate, below int) error {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return errors.New("is not a CA certificate (basicConstraints)")
	case c.KeyUsage&smx509.KeyUsageCertSign == 0:
		return errors.New("may not sign certificates (keyUsage has no keyCertSign)")
	case (c.MaxPathLen > 0 || c.MaxPathLenZero) && below > c.MaxPathLen:
		return fmt.Errorf("allows %d CA certificates below it, the chain has %d", c.MaxPathLen, below)
	}
	return nil
}
