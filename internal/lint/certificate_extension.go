package lint

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oidIdentifyCode is identifyCode of GB/T 20518, a CHOICE.
const oidIdentifyCode = "1.2.156.10260.4.1.1"

// nonCritical are the known extensions that conforming CAs never mark critical.
var nonCritical = []string{
	pki.OIDAuthorityKeyID, pki.OIDSubjectKeyID, pki.OIDSubjectAltName,
	pki.OIDCRLDistributionPoints, pki.OIDFreshestCRL, pki.OIDAuthorityInfoAccess, pki.OIDOCSPNoCheck,
}

// known are the extensions that are written from fields of a profile.
var known = append([]string{pki.OIDKeyUsage, pki.OIDBasicConstraints, pki.OIDExtKeyUsage}, nonCritical...)

var extensionChecks = []Check[*CertificateInput]{
	{"no-duplicate-extensions", "RFC 5280 §4.2", func(c *CertificateInput) error { return noDuplicates(c.Extensions) }},
	{"standard-extensions-non-critical", "RFC 5280 §4.2.1.1, §4.2.1.2, §4.2.1.6, §4.2.1.13, §4.2.2.1, RFC 6960 §4.2.2.2.1", func(c *CertificateInput) error {
		for _, e := range c.Extensions {
			if e.Critical && slices.Contains(nonCritical, e.OID) {
				return fmt.Errorf("extension %s is critical", e.OID)
			}
		}
		return nil
	}},
	{"standard-extensions-known", "RFC 5280 §4.2.1 (those that Terrace does not write)", func(c *CertificateInput) error {
		for _, e := range c.Extensions {
			if strings.HasPrefix(e.OID, "2.5.29.") && !slices.Contains(known, e.OID) {
				return fmt.Errorf("extension %s is none that a profile can ask for", e.OID)
			}
		}
		return nil
	}},
	{"subject-alt-name-form", "RFC 5280 §4.2.1.6", func(c *CertificateInput) error {
		e, ok := c.Find(pki.OIDSubjectAltName)
		if !ok {
			return nil
		}
		return pki.CheckSubjectAltNamesDER(e.Value)
	}},
	{"crl-distribution-points-form", "RFC 5280 §4.2.1.13", func(c *CertificateInput) error {
		return distributionPointsForm(c.Extensions, pki.OIDCRLDistributionPoints, "cRLDistributionPoints")
	}},
	{"freshest-crl-form", "RFC 5280 §4.2.1.15", func(c *CertificateInput) error {
		return distributionPointsForm(c.Extensions, pki.OIDFreshestCRL, "freshestCRL")
	}},
	{"authority-info-access-form", "RFC 5280 §4.2.2.1", authorityInfoAccessForm},
	{"identity-non-critical", "GM/T 0015-2012 §5.2.4.2", func(c *CertificateInput) error {
		for _, e := range c.Extensions {
			if e.Critical && !slices.Contains(known, e.OID) && !strings.HasPrefix(e.OID, "2.5.29.") {
				return fmt.Errorf("extension %s is critical", e.OID)
			}
		}
		return nil
	}},
	{"identity-explicit-tag", "GB/T 20518 (IdentifyCode), explicit in practice", func(c *CertificateInput) error {
		e, ok := c.Find(oidIdentifyCode)
		if !ok || slices.ContainsFunc(c.Identity, func(i pki.IdentityExtension) bool { return i.OID == oidIdentifyCode }) {
			return nil // identity-form knows better
		}
		var errs []error
		for _, encoding := range []string{pki.EncodingResidentCardChoice0, pki.EncodingMilitaryCardChoice1, pki.EncodingPassportChoice2} {
			err := pki.IdentityExtension{Name: "identifyCode", Encoding: encoding}.CheckDER(e.Value)
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}},
	{"identity-form", "GB/T 20518, as the profile says", func(c *CertificateInput) error {
		for _, i := range c.Identity {
			if e, ok := c.Find(i.OID); ok {
				if err := i.CheckDER(e.Value); err != nil {
					return err
				}
			}
		}
		return nil
	}},
}

func noDuplicates(extensions []Extension) error {
	for i, e := range extensions {
		if _, twice := find(extensions[:i], e.OID); twice {
			return fmt.Errorf("extension %s is there twice", e.OID)
		}
	}
	return nil
}

// distributionPointsForm wants points with a fullName of URIs, and neither
// reasons nor cRLIssuer, which would make a client look for other lists.
func distributionPointsForm(extensions []Extension, oid, name string) error {
	e, ok := find(extensions, oid)
	if !ok {
		return nil
	}
	in := cryptobyte.String(e.Value)
	var points cryptobyte.String
	if !in.ReadASN1(&points, cbasn1.SEQUENCE) || !in.Empty() || points.Empty() {
		return fmt.Errorf("%s is not a SEQUENCE of at least one point", name)
	}
	for !points.Empty() {
		var point cryptobyte.String
		if !points.ReadASN1(&point, cbasn1.SEQUENCE) {
			return errors.New("distribution point is malformed")
		}
		if err := readDistributionPointName(&point); err != nil {
			return err
		}
		if !point.Empty() {
			return errors.New("distribution point has reasons or cRLIssuer")
		}
	}
	return nil
}

// readDistributionPointName reads distributionPoint [0] { fullName [0] { URI ... } }.
func readDistributionPointName(in *cryptobyte.String) error {
	var name, full cryptobyte.String
	if !in.ReadASN1(&name, explicit(0)) || !name.ReadASN1(&full, explicit(0)) || !name.Empty() || full.Empty() {
		return errors.New("distribution point has no fullName")
	}
	for !full.Empty() {
		var uri cryptobyte.String
		if !full.ReadASN1(&uri, cbasn1.Tag(6).ContextSpecific()) {
			return errors.New("distribution point has a name that is no URI")
		}
		if err := pki.CheckURIBytes(uri); err != nil {
			return err
		}
	}
	return nil
}

func authorityInfoAccessForm(c *CertificateInput) error {
	e, ok := c.Find(pki.OIDAuthorityInfoAccess)
	if !ok {
		return nil
	}
	in := cryptobyte.String(e.Value)
	var list cryptobyte.String
	if !in.ReadASN1(&list, cbasn1.SEQUENCE) || !in.Empty() || list.Empty() {
		return errors.New("authorityInfoAccess is not a SEQUENCE of at least one description")
	}
	for !list.Empty() {
		var access, uri cryptobyte.String
		if !list.ReadASN1(&access, cbasn1.SEQUENCE) {
			return errors.New("access description is not a method and a URI")
		}
		method, ok := pki.ReadOID(&access)
		if !ok || !access.ReadASN1(&uri, cbasn1.Tag(6).ContextSpecific()) || !access.Empty() {
			return errors.New("access description is not a method and a URI")
		}
		if method != pki.OIDAccessOCSP && method != pki.OIDAccessCAIssuers {
			return fmt.Errorf("access method is %s, want OCSP or caIssuers", method)
		}
		if err := pki.CheckURIBytes(uri); err != nil {
			return err
		}
	}
	return nil
}
