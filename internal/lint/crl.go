package lint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CRLChecks lists the checks of a CRL.
func CRLChecks() []Check[*CRLInput] {
	return slices.Concat(crlFieldChecks, crlDeltaChecks, crlEntryChecks)
}

var crlFieldChecks = []Check[*CRLInput]{
	{"crl-version-2", "RFC 5280 §5.1.2.1", func(c *CRLInput) error {
		if c.Version != 2 {
			return fmt.Errorf("version is %d, want 2", c.Version)
		}
		return nil
	}},
	{"crl-algorithm-same", "RFC 5280 §5.1.1.2", func(c *CRLInput) error {
		return algorithmSame(c.InnerAlgorithm, c.OuterAlgorithm)
	}},
	{"crl-algorithm-sm2-sm3", "GM/T 0015 (CRL), GB/T 33560-2017 Annex A", func(c *CRLInput) error {
		return algorithmSM2(c.InnerAlgorithm)
	}},
	{"crl-issuer-name", "RFC 5280 §5.1.2.3", func(c *CRLInput) error {
		if c.Issuer == nil || !bytes.Equal(c.IssuerDER, c.Issuer.RawSubject) {
			return errors.New("issuer is not, byte for byte, the subject of the issuer certificate")
		}
		return nil
	}},
	{"crl-issuer-may-sign", "RFC 5280 §4.2.1.3, §6.3.3 (f)", func(c *CRLInput) error {
		if c.Issuer != nil && c.Issuer.KeyUsage&smx509.KeyUsageCRLSign == 0 {
			return errors.New("the issuer certificate has no cRLSign")
		}
		return nil
	}},
	{"crl-time-encoding", "RFC 5280 §5.1.2.4, §5.1.2.5", func(c *CRLInput) error {
		if c.NextUpdate.tag == 0 {
			return named("thisUpdate", c.ThisUpdate.checkEncoding())
		}
		return errors.Join(named("thisUpdate", c.ThisUpdate.checkEncoding()), named("nextUpdate", c.NextUpdate.checkEncoding()))
	}},
	{"crl-next-update", "RFC 5280 §5.1.2.5", func(c *CRLInput) error {
		if c.NextUpdate.tag == 0 {
			return errors.New("nextUpdate is missing")
		}
		this, err1 := c.ThisUpdate.time()
		next, err2 := c.NextUpdate.time()
		if err1 == nil && err2 == nil && !this.Before(next) {
			return errors.New("thisUpdate is not before nextUpdate")
		}
		return nil
	}},
	{"crl-no-duplicate-extensions", "RFC 5280 §5.2, §4.2", func(c *CRLInput) error { return noDuplicates(c.Extensions) }},
	{"crl-authority-key-id", "RFC 5280 §5.2.1", func(c *CRLInput) error {
		if c.Issuer == nil {
			return nil
		}
		return authorityKeyID(c.Extensions, c.Issuer.SubjectKeyId)
	}},
	{"crl-number", "RFC 5280 §5.2.3", func(c *CRLInput) error {
		e, ok := c.Find(pki.OIDCRLNumber)
		if !ok {
			return errors.New("cRLNumber is missing")
		}
		_, err := crlNumber(e.Value)
		return named("cRLNumber", err)
	}},
	{"crl-issuing-distribution-point", "RFC 5280 §5.2.5", issuingDistributionPoint},
	{"crl-critical-extensions", "RFC 5280 §5.2", func(c *CRLInput) error {
		for _, e := range c.Extensions {
			if e.Critical && e.OID != pki.OIDIssuingDistribution && e.OID != pki.OIDDeltaCRLIndicator {
				return fmt.Errorf("extension %s is critical", e.OID)
			}
		}
		return nil
	}},
	{"crl-signature-form", "GM/T 0009-2012 §7.3", func(c *CRLInput) error { return signatureForm(c.Signature) }},
}

func issuingDistributionPoint(c *CRLInput) error {
	e, ok := c.Find(pki.OIDIssuingDistribution)
	if !ok {
		return nil
	}
	if !e.Critical {
		return errors.New("issuingDistributionPoint is not critical")
	}
	in := cryptobyte.String(e.Value)
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() || seq.Empty() {
		return errors.New("issuingDistributionPoint is not a SEQUENCE with something in it")
	}
	if seq.PeekASN1Tag(explicit(0)) {
		if err := readDistributionPointName(&seq); err != nil {
			return err
		}
	}
	if tag := cbasn1.Tag(2).ContextSpecific(); seq.PeekASN1Tag(tag) {
		var v cryptobyte.String
		if !seq.ReadASN1(&v, tag) || len(v) != 1 || v[0] != 0xff {
			return errors.New("onlyContainsCACerts is not TRUE in DER")
		}
	}
	if !seq.Empty() {
		return errors.New("issuingDistributionPoint has a field other than distributionPoint and onlyContainsCACerts")
	}
	return nil
}
