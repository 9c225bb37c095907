package lint

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func checkNames(findings []Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Check)
	}
	return out
}

func TestGoodCertificates(t *testing.T) {
	issuer := issuerFixture(t)
	for desc, c := range map[string]*CertificateInput{"subscriber": subscriberFixture(t, issuer), "ca": caFixture(t, issuer)} {
		if found := Certificate(certificateDER(t, c), c.Context); len(found) != 0 {
			t.Errorf("%s: %v", desc, found)
		}
	}
}

type breakage struct {
	ca      bool // break a CA's certificate, not a subscriber's
	breakIt func(t *testing.T, c *CertificateInput)
}

// brokenCertificates has one thing wrong for each check; the key may carry a
// second fixture of the same check after a slash.
var brokenCertificates = map[string]breakage{
	"version-3":            {false, func(_ *testing.T, c *CertificateInput) { c.Version = 2 }},
	"serial-positive":      {false, func(_ *testing.T, c *CertificateInput) { c.Serial = []byte{0x80} }},
	"serial-positive/zero": {false, func(_ *testing.T, c *CertificateInput) { c.Serial = []byte{0} }},
	"serial-length":        {false, func(_ *testing.T, c *CertificateInput) { c.Serial = bytes.Repeat([]byte{1}, 21) }},
	"algorithm-same":       {false, func(_ *testing.T, c *CertificateInput) { c.OuterAlgorithm = withNull(c.OuterAlgorithm) }},
	"algorithm-sm2-sm3": {false, func(_ *testing.T, c *CertificateInput) {
		c.InnerAlgorithm = withNull(c.InnerAlgorithm)
		c.OuterAlgorithm = c.InnerAlgorithm
	}},
	"issuer-name": {false, func(t *testing.T, c *CertificateInput) { c.IssuerDER = nameDER(t, "CN=ca,C=CN") }},
	"issuer-is-ca": {false, func(_ *testing.T, c *CertificateInput) {
		issuer := *c.Issuer
		issuer.IsCA = false
		c.Issuer = &issuer
	}},
	"issuer-is-ca/usage": {false, func(_ *testing.T, c *CertificateInput) {
		issuer := *c.Issuer
		issuer.KeyUsage = smx509.KeyUsageCRLSign
		c.Issuer = &issuer
	}},
	"time-encoding":      {false, func(_ *testing.T, c *CertificateInput) { c.NotAfter = generalized("20270201000000Z") }},
	"time-encoding/zone": {false, func(_ *testing.T, c *CertificateInput) { c.NotAfter = utc("270201000000+0800") }},
	"time-order":         {false, func(_ *testing.T, c *CertificateInput) { c.NotAfter = c.NotBefore }},
	"subject-present":    {false, func(_ *testing.T, c *CertificateInput) { c.SubjectDER = []byte{0x30, 0} }},
	"subject-form": {false, func(t *testing.T, c *CertificateInput) {
		c.SubjectDER = bytes.Replace(c.SubjectDER, []byte{0x13, 2, 'C', 'N'}, []byte{0x0c, 2, 'C', 'N'}, 1)
	}},
	"no-unique-identifiers": {false, func(_ *testing.T, c *CertificateInput) { c.UniqueIDs = true }},
	"signature-form":        {false, func(_ *testing.T, c *CertificateInput) { c.Signature = make([]byte, 64) }},
	"validity-within-issuer": {false, func(_ *testing.T, c *CertificateInput) {
		c.NotAfter = generalized("20600101000001Z")
	}},

	"key-sm2": {false, func(t *testing.T, c *CertificateInput) {
		c.SPKI = bytes.Clone(c.SPKI)
		c.SPKI[22]++ // the curve's OID; the bits, and so the identifier, stay
	}},
	"authority-key-id":         {false, func(_ *testing.T, c *CertificateInput) { c.Extensions = drop(c.Extensions, pki.OIDAuthorityKeyID) }},
	"authority-key-id/another": {false, func(t *testing.T, c *CertificateInput) { c.set(keyIDs(t, c.SPKI, c.SPKI)[0]) }},
	"subject-key-id":           {false, func(_ *testing.T, c *CertificateInput) { c.Extensions = drop(c.Extensions, pki.OIDSubjectKeyID) }},
	"subject-key-id-method": {false, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDSubjectKeyID, false, tlv(t, cbasn1.OCTET_STRING, make([]byte, 20))})
	}},

	"key-usage-present": {false, func(_ *testing.T, c *CertificateInput) { c.Extensions = drop(c.Extensions, pki.OIDKeyUsage) }},
	"key-usage-present/not-der": {false, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDKeyUsage, true, tlv(t, cbasn1.BIT_STRING, []byte{0, 0xc0})})
	}},
	"key-usage-critical": {false, func(t *testing.T, c *CertificateInput) { c.set(keyUsage(t, pki.KeyUsagesSigning, false)) }},
	"dual-usage": {false, func(t *testing.T, c *CertificateInput) {
		c.set(keyUsage(t, pki.KeyUsageDigitalSignature|pki.KeyUsageKeyEncipherment, true))
	}},
	"ca-key-usage": {true, func(t *testing.T, c *CertificateInput) {
		c.set(keyUsage(t, pki.KeyUsagesCA|pki.KeyUsageDigitalSignature, true))
	}},
	"ca-basic-constraints": {true, func(_ *testing.T, c *CertificateInput) { c.Extensions = drop(c.Extensions, pki.OIDBasicConstraints) }},
	"ca-basic-constraints/non-critical": {true, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDBasicConstraints, false, marshal(t, basicConstraints{true, 0})})
	}},
	"basic-constraints-form": {false, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDBasicConstraints, true, tlv(t, cbasn1.SEQUENCE, []byte{2, 1, 0})})
	}},
	"path-length-within-issuer": {true, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDBasicConstraints, true, marshal(t, basicConstraints{true, 1})})
	}},
	"path-length-within-issuer/none": {true, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDBasicConstraints, true, marshal(t, basicConstraints{true, -1})})
	}},
	"ext-key-usage-form":     {false, func(t *testing.T, c *CertificateInput) { c.set(Extension{pki.OIDExtKeyUsage, false, []byte{0x30, 0}}) }},
	"ext-key-usage-form/any": {false, func(t *testing.T, c *CertificateInput) { c.set(extKeyUsage(t, false, oidAnyExtKeyUsage)) }},
	"ext-key-usage-form/twice": {false, func(t *testing.T, c *CertificateInput) {
		c.set(extKeyUsage(t, false, "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.2"))
	}},
	"ocsp-signing-no-check": {false, func(t *testing.T, c *CertificateInput) { c.set(extKeyUsage(t, false, pki.OIDExtKeyUsageOCSPSigning)) }},
	"time-stamping-alone":   {false, func(t *testing.T, c *CertificateInput) { c.set(extKeyUsage(t, false, pki.OIDExtKeyUsageTimeStamping)) }},
	"time-stamping-alone/two": {false, func(t *testing.T, c *CertificateInput) {
		c.set(extKeyUsage(t, true, pki.OIDExtKeyUsageTimeStamping, "1.3.6.1.5.5.7.3.2"))
	}},

	"no-duplicate-extensions": {false, func(_ *testing.T, c *CertificateInput) { c.Extensions = append(c.Extensions, c.Extensions[3]) }},
	"standard-extensions-non-critical": {false, func(_ *testing.T, c *CertificateInput) {
		e, _ := c.Find(pki.OIDSubjectKeyID)
		c.set(Extension{e.OID, true, e.Value})
	}},
	"standard-extensions-known": {false, func(_ *testing.T, c *CertificateInput) { c.set(Extension{"2.5.29.30", true, []byte{0x30, 0}}) }},
	"subject-alt-name-form": {false, func(t *testing.T, c *CertificateInput) {
		san, _ := pki.SubjectAltNames{DNS: []string{"a b"}}.DER()
		c.set(Extension{pki.OIDSubjectAltName, false, san})
	}},
	"crl-distribution-points-form": {false, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDCRLDistributionPoints, false, tlv(t, cbasn1.SEQUENCE, tlv(t, cbasn1.SEQUENCE, nil))})
	}},
	"crl-distribution-points-form/relative": {false, func(t *testing.T, c *CertificateInput) {
		point := tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) { pki.AddDistributionPointName(b, "1.crl") }))
		c.set(Extension{pki.OIDCRLDistributionPoints, false, tlv(t, cbasn1.SEQUENCE, point)})
	}},
	"freshest-crl-form": {false, func(t *testing.T, c *CertificateInput) { c.set(Extension{pki.OIDFreshestCRL, false, []byte{0x30, 0}}) }},
	"authority-info-access-form": {false, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDAuthorityInfoAccess, false, accessDER(t, "1.2.3", "http://a/")})
	}},
	"identity-non-critical": {false, func(_ *testing.T, c *CertificateInput) {
		e, _ := c.Find(insurance().OID)
		c.set(Extension{e.OID, true, e.Value})
	}},
	"identity-explicit-tag": {false, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{oidIdentifyCode, false, tlv(t, cbasn1.Tag(0).ContextSpecific(), []byte("110101199003070000"))})
	}},
	"identity-form": {false, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{insurance().OID, false, tlv(t, cbasn1.UTF8String, []byte("A1"))})
	}},
}

func withNull(algorithm []byte) []byte {
	out := append(bytes.Clone(algorithm), 5, 0)
	out[1] += 2
	return out
}

func TestBrokenCertificates(t *testing.T) {
	for key, b := range brokenCertificates {
		t.Run(key, func(t *testing.T) {
			issuer := issuerFixture(t)
			c := subscriberFixture(t, issuer)
			if b.ca {
				c = caFixture(t, issuer)
			}
			b.breakIt(t, c)
			got := Certificate(certificateDER(t, c), c.Context)
			if diff := cmp.Diff([]string{base(key)}, checkNames(got)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, got)
			}
		})
	}
}

func base(key string) string {
	name, _, _ := strings.Cut(key, "/")
	return name
}

func TestEveryCertificateCheckHasAFixture(t *testing.T) {
	fixtures := map[string]bool{}
	for key := range brokenCertificates {
		fixtures[base(key)] = true
	}
	var names []string
	for _, c := range CertificateChecks() {
		if !fixtures[c.Name] {
			t.Errorf("check %s has no broken fixture", c.Name)
		}
		if c.Source == "" || slices.Contains(names, c.Name) {
			t.Errorf("check %s has no source, or its name is there twice", c.Name)
		}
		names = append(names, c.Name)
	}
}

func TestMalformedCertificate(t *testing.T) {
	c := subscriberFixture(t, issuerFixture(t))
	good := certificateDER(t, c)
	for n := range good {
		if got := checkNames(Certificate(good[:n], c.Context)); !slices.Equal(got, []string{CheckCertificateForm}) {
			t.Fatalf("the first %d bytes: got %v", n, got)
		}
	}
	if got := checkNames(Certificate(append(good, 0), c.Context)); !slices.Equal(got, []string{CheckCertificateForm}) {
		t.Errorf("a byte after the end: got %v", got)
	}
}
