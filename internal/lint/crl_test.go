package lint

import (
	"bytes"
	"slices"
	"testing"

	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func entryDER(t *testing.T, serial []byte, at stamp, extensions []byte) []byte {
	return tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(serial) })
		addStamp(b, at)
		b.AddBytes(extensions)
	}))
}

func reasonDER(t *testing.T, critical bool, reason byte) []byte {
	return tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		pki.AddExtension(b, pki.OIDReasonCode, critical, []byte{0x0a, 1, reason})
	}))
}

func crlFixture(t *testing.T, issuer *smx509.Certificate) *CRLInput {
	t.Helper()
	aki, err := pki.AuthorityKeyIDDER(issuer.SubjectKeyId)
	if err != nil {
		t.Fatal(err)
	}
	name := der(t, func(b *cryptobyte.Builder) { pki.AddDistributionPointName(b, "http://crl/1.crl") })
	return &CRLInput{
		Context: Context{Issuer: issuer}, Version: 2,
		InnerAlgorithm: pki.SignatureAlgorithmDER(), OuterAlgorithm: pki.SignatureAlgorithmDER(),
		IssuerDER: issuer.RawSubject, ThisUpdate: utc("260301000000Z"), NextUpdate: utc("260302000000Z"),
		EntriesThere: true,
		Entries: slices.Concat(
			entryDER(t, []byte{5}, utc("260228000000Z"), nil),
			entryDER(t, []byte{1, 2}, utc("260228000000Z"), reasonDER(t, false, 1))),
		Extensions: []Extension{
			{pki.OIDAuthorityKeyID, false, aki},
			{pki.OIDCRLNumber, false, []byte{2, 1, 7}},
			{pki.OIDIssuingDistribution, true, tlv(t, cbasn1.SEQUENCE, append(name, 0x82, 1, 0xff))},
		},
		Signature: anySignature,
	}
}

func crlDER(t *testing.T, c *CRLInput) []byte {
	return tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			if c.Version > 1 {
				b.AddASN1Int64(int64(c.Version - 1))
			}
			b.AddBytes(c.InnerAlgorithm)
			b.AddBytes(c.IssuerDER)
			addStamp(b, c.ThisUpdate)
			if c.NextUpdate.tag != 0 {
				addStamp(b, c.NextUpdate)
			}
			if c.EntriesThere {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(c.Entries) })
			}
			addExtensions(b, explicit(0), c.Extensions)
		})
		b.AddBytes(c.OuterAlgorithm)
		b.AddASN1BitString(c.Signature)
	}))
}

// brokenCRLs has one thing wrong for each check.
var brokenCRLs = map[string]func(t *testing.T, c *CRLInput){
	"crl-version-2":      func(_ *testing.T, c *CRLInput) { c.Version = 1 },
	"crl-algorithm-same": func(_ *testing.T, c *CRLInput) { c.OuterAlgorithm = withNull(c.OuterAlgorithm) },
	"crl-algorithm-sm2-sm3": func(_ *testing.T, c *CRLInput) {
		c.InnerAlgorithm = withNull(c.InnerAlgorithm)
		c.OuterAlgorithm = c.InnerAlgorithm
	},
	"crl-issuer-name": func(t *testing.T, c *CRLInput) { c.IssuerDER = nameDER(t, "CN=x,C=CN") },
	"crl-issuer-may-sign": func(_ *testing.T, c *CRLInput) {
		issuer := *c.Issuer
		issuer.KeyUsage = smx509.KeyUsageCertSign
		c.Issuer = &issuer
	},
	"crl-time-encoding":      func(_ *testing.T, c *CRLInput) { c.NextUpdate = generalized("20260302000000Z") },
	"crl-next-update":        func(_ *testing.T, c *CRLInput) { c.NextUpdate = stamp{} },
	"crl-next-update/before": func(_ *testing.T, c *CRLInput) { c.NextUpdate = c.ThisUpdate },
	"crl-no-duplicate-extensions": func(_ *testing.T, c *CRLInput) {
		c.Extensions = append(c.Extensions, c.Extensions[1])
	},
	"crl-authority-key-id":                   func(_ *testing.T, c *CRLInput) { c.Extensions = drop(c.Extensions, pki.OIDAuthorityKeyID) },
	"crl-number":                             func(_ *testing.T, c *CRLInput) { c.Extensions = drop(c.Extensions, pki.OIDCRLNumber) },
	"crl-number/negative":                    func(_ *testing.T, c *CRLInput) { c.Extensions[1].Value = []byte{2, 1, 0x80} },
	"crl-issuing-distribution-point":         func(_ *testing.T, c *CRLInput) { c.Extensions[2].Critical = false },
	"crl-issuing-distribution-point/default": func(t *testing.T, c *CRLInput) { c.Extensions[2].Value = tlv(t, cbasn1.SEQUENCE, []byte{0x82, 1, 0}) },
	"crl-issuing-distribution-point/indirect": func(t *testing.T, c *CRLInput) {
		c.Extensions[2].Value = tlv(t, cbasn1.SEQUENCE, []byte{0x84, 1, 0xff})
	},
	"crl-delta-indicator":          func(_ *testing.T, c *CRLInput) { c.Extensions = append(c.Extensions, delta(false, 6)) },
	"crl-delta-indicator/negative": func(_ *testing.T, c *CRLInput) { c.Extensions = append(c.Extensions, delta(true, 0x80)) },
	"crl-delta-indicator/no base":  func(_ *testing.T, c *CRLInput) { c.Extensions = append(c.Extensions, delta(true, 7)) },
	"crl-freshest": func(t *testing.T, c *CRLInput) {
		c.Extensions = append(c.Extensions, Extension{pki.OIDFreshestCRL, false, []byte{0x30, 0}})
	},
	"crl-freshest/in a delta": func(t *testing.T, c *CRLInput) {
		c.Extensions = append(c.Extensions, delta(true, 6), freshest(t, false))
	},
	"crl-critical-extensions/freshest": func(t *testing.T, c *CRLInput) { c.Extensions = append(c.Extensions, freshest(t, true)) },
	"crl-critical-extensions":          func(_ *testing.T, c *CRLInput) { c.Extensions[1].Critical = true },
	"crl-signature-form":               func(_ *testing.T, c *CRLInput) { c.Signature = []byte{0x30, 0} },
	"crl-entries-absent-when-empty":    func(_ *testing.T, c *CRLInput) { c.Entries = nil },
	"crl-entry-serial":                 func(t *testing.T, c *CRLInput) { c.Entries = entryDER(t, []byte{0x80}, utc("260228000000Z"), nil) },
	"crl-entry-serial/long": func(t *testing.T, c *CRLInput) {
		c.Entries = entryDER(t, bytes.Repeat([]byte{1}, 21), utc("260228000000Z"), nil)
	},
	"crl-entry-order": func(t *testing.T, c *CRLInput) {
		c.Entries = append(c.Entries, entryDER(t, []byte{1, 2}, utc("260228000000Z"), nil)...)
	},
	"crl-entry-time-encoding": func(t *testing.T, c *CRLInput) { c.Entries = entryDER(t, []byte{1}, utc("2602280000Z"), nil) },
	"crl-entry-reason": func(t *testing.T, c *CRLInput) {
		c.Entries = entryDER(t, []byte{1}, utc("260228000000Z"), reasonDER(t, false, 0))
	},
	"crl-entry-reason/remove": func(t *testing.T, c *CRLInput) {
		c.Entries = entryDER(t, []byte{1}, utc("260228000000Z"), reasonDER(t, false, 8))
	},
	"crl-entry-reason/critical": func(t *testing.T, c *CRLInput) {
		c.Entries = entryDER(t, []byte{1}, utc("260228000000Z"), reasonDER(t, true, 1))
	},
}

// delta is a deltaCRLIndicator of a small base.
func delta(critical bool, base byte) Extension {
	return Extension{pki.OIDDeltaCRLIndicator, critical, []byte{2, 1, base}}
}

func freshest(t *testing.T, critical bool) Extension {
	point := tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) { pki.AddDistributionPointName(b, "http://crl/delta.crl") }))
	return Extension{pki.OIDFreshestCRL, critical, tlv(t, cbasn1.SEQUENCE, point)}
}

func TestGoodCRLs(t *testing.T) {
	c := crlFixture(t, issuerFixture(t))
	if found := CRL(crlDER(t, c), c.Context); len(found) != 0 {
		t.Errorf("with entries: %v", found)
	}
	full := c.Extensions
	c.Extensions = append(slices.Clone(full), freshest(t, false))
	if found := CRL(crlDER(t, c), c.Context); len(found) != 0 {
		t.Errorf("with deltas: %v", found)
	}
	c.Extensions = append(slices.Clone(full), delta(true, 6))
	c.Entries = append(c.Entries, entryDER(t, []byte{1, 3}, utc("260228000000Z"), reasonDER(t, false, 8))...)
	if found := CRL(crlDER(t, c), c.Context); len(found) != 0 {
		t.Errorf("a delta: %v", found)
	}
	c.Extensions = full
	c.EntriesThere, c.Extensions = false, c.Extensions[:2]
	if found := CRL(crlDER(t, c), c.Context); len(found) != 0 {
		t.Errorf("without entries: %v", found)
	}
}

func TestBrokenCRLs(t *testing.T) {
	for key, breakIt := range brokenCRLs {
		t.Run(key, func(t *testing.T) {
			c := crlFixture(t, issuerFixture(t))
			breakIt(t, c)
			got := CRL(crlDER(t, c), c.Context)
			if diff := cmp.Diff([]string{base(key)}, checkNames(got)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, got)
			}
		})
	}
}

func TestEveryCRLCheckHasAFixture(t *testing.T) {
	fixtures := map[string]bool{}
	for key := range brokenCRLs {
		fixtures[base(key)] = true
	}
	for _, c := range CRLChecks() {
		if !fixtures[c.Name] || c.Source == "" {
			t.Errorf("check %s has no broken fixture, or no source", c.Name)
		}
	}
}

func TestMalformedCRL(t *testing.T) {
	c := crlFixture(t, issuerFixture(t))
	good := crlDER(t, c)
	for n := range good {
		if got := checkNames(CRL(good[:n], c.Context)); !slices.Equal(got, []string{CheckCRLForm}) {
			t.Fatalf("the first %d bytes: got %v", n, got)
		}
	}
}
