package lint

import (
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

func brokenList(f func(t *testing.T, c *CRLInput)) func(t *testing.T) []Finding {
	return func(t *testing.T) []Finding {
		c := userList(t)
		f(t, c)
		return examinedList(t, c)
	}
}

// scoped has issuingDistributionPoint of these bytes.
func scoped(content ...byte) func(t *testing.T) []Finding {
	return brokenList(func(t *testing.T, c *CRLInput) { c.scoped(t, content) })
}

func listWith(oid string, critical bool, value ...byte) func(t *testing.T) []Finding {
	return brokenList(func(_ *testing.T, c *CRLInput) { c.Extensions = set(c.Extensions, Extension{oid, critical, value}) })
}

var listTrips = map[string]func(t *testing.T) []Finding{
	"crl-issuer-present":           brokenList(func(_ *testing.T, c *CRLInput) { c.Issuer, c.IssuerDER = nil, []byte{0x30, 0} }),
	"crl-lifetime":                 brokenList(func(_ *testing.T, c *CRLInput) { c.NextUpdate = utc("280302000000Z") }),
	"crl-authority-key-id-present": listWith(pki.OIDAuthorityKeyID, false, 0x30, 0),
	"crl-authority-key-id-matches": brokenList(func(t *testing.T, c *CRLInput) { c.Extensions = set(c.Extensions, keyIDs(t, spki(t, 11), nil)[0]) }),
	"crl-authority-key-id-critical": brokenList(func(_ *testing.T, c *CRLInput) {
		e, _ := c.Find(pki.OIDAuthorityKeyID)
		c.Extensions = set(c.Extensions, Extension{e.OID, true, e.Value})
	}),
	"crl-number-critical":          listWith(pki.OIDCRLNumber, true, 2, 1, 7),
	"crl-issuer-alt-name-critical": listWith(oidIssuerAltName, true, 0x30, 3, 0x82, 1, 'a'),
	"crl-authority-access": brokenList(func(t *testing.T, c *CRLInput) {
		c.Extensions = append(c.Extensions, Extension{pki.OIDAuthorityInfoAccess, false, accessDER(t, pki.OIDAccessOCSP, "http://a/")})
	}),
	"crl-critical-known": listWith(private, true, 5, 0),
	"crl-extension-critical-default": func(t *testing.T) []Finding {
		c := userList(t)
		c.Extensions = append(c.Extensions, Extension{private, true, []byte{5, 0}})
		raw := unmarked(crlDER(t, c))
		return ExamineCRL(sign(t, raw, issuerD), c.Context, 0)
	},
	"crl-signature-minimal":  brokenList(func(_ *testing.T, c *CRLInput) { c.Signature = []byte{0x30, 7, 2, 2, 0, 1, 2, 1, 1} }),
	"crl-signature-range":    brokenList(func(t *testing.T, c *CRLInput) { c.Signature = outOfRange(t) }),
	"crl-signature-verifies": brokenList(func(t *testing.T, c *CRLInput) { c.Issuer = another(t, c.Issuer) }),

	"crl-scope-form": scoped(),
	"crl-scope-critical": brokenList(func(_ *testing.T, c *CRLInput) {
		e, _ := c.Find(pki.OIDIssuingDistribution)
		c.Extensions = set(c.Extensions, Extension{e.OID, false, e.Value})
	}),
	"crl-scope-default":       scoped(0x81, 1, 0),
	"crl-scope-default/octet": scoped(0x81, 1, 1),
	"crl-scope-one":           scoped(0x81, 1, 0xff, 0x82, 1, 0xff),
	"crl-scope-no-attribute":  scoped(0x85, 1, 0xff),
	"crl-scope-reasons":       scoped(0x83, 2, 6, 0x40),
	"crl-scope-direct":        scoped(0x84, 1, 0xff),
	"crl-scope-relative":      scoped(0xa0, 2, 0xa1, 0),
	"crl-scope-uri":           brokenList(func(t *testing.T, c *CRLInput) { c.scoped(t, pointAt(t, "ftp://a/1.crl")) }),
	"arl-scope":               brokenList(func(_ *testing.T, c *CRLInput) { c.kind = KindARL }),

	"crl-delta-form":     listWith(oidDeltaCRLIndicator, true, 2, 1, 0x80),
	"crl-delta-critical": listWith(oidDeltaCRLIndicator, false, 2, 1, 6),
	"crl-delta-base":     listWith(oidDeltaCRLIndicator, true, 2, 1, 7),
	"crl-delta-present":  brokenList(func(_ *testing.T, c *CRLInput) { c.kind = KindDeltaCRL }),
	"crl-delta-no-freshest": func(t *testing.T) []Finding {
		c := deltaList(t)
		c.Extensions = append(c.Extensions, Extension{oidFreshestCRL, false, pointsDER(t, "http://a/1.crl")})
		return examinedList(t, c)
	},
	"crl-freshest-form": listWith(oidFreshestCRL, false, 0x30, 0),
	"crl-freshest-critical": brokenList(func(t *testing.T, c *CRLInput) {
		c.Extensions = append(c.Extensions, Extension{oidFreshestCRL, true, pointsDER(t, "http://a/1.crl")})
	}),
}

// entryWith has one entry with these extensions.
func entryWith(extensions ...Extension) func(t *testing.T) []Finding {
	return brokenList(func(t *testing.T, c *CRLInput) { c.entry(t, extensions...) })
}

func reason(n byte) Extension { return Extension{pki.OIDReasonCode, false, []byte{0x0a, 1, n}} }

var entryTrips = map[string]func(t *testing.T) []Finding{
	"crl-entry-extensions": entryWith(),
	"crl-entry-not-later": brokenList(func(t *testing.T, c *CRLInput) {
		c.Entries = entryDER(t, []byte{9}, utc("260301000001Z"), nil)
	}),
	"crl-entry-extension-once":     entryWith(reason(1), reason(1)),
	"crl-entry-critical-known":     entryWith(Extension{pki.OIDReasonCode, true, []byte{0x0a, 1, 1}}),
	"crl-entry-reason-form":        entryWith(Extension{pki.OIDReasonCode, false, []byte{2, 1, 1}}),
	"crl-entry-reason-known":       entryWith(reason(reasonUnused)),
	"crl-entry-reason-known/large": entryWith(reason(reasonLast + 1)),
	"crl-entry-reason-unspecified": entryWith(reason(0)),
	"crl-entry-remove-from-crl":    entryWith(reason(reasonRemoveFromCRL)),
	"crl-entry-invalidity-date":    entryWith(Extension{oidInvalidityDate, false, append([]byte{0x17, 13}, "260228000000Z"...)}),
	"crl-entry-certificate-issuer": entryWith(Extension{oidCertificateIssuer, true, []byte{0x30, 3, 0x82, 1, 'a'}}),
	"crl-entry-hold-instruction":   entryWith(Extension{oidHoldInstruction, false, []byte{6, 2, 0x2a, 3}}),
}

func brokenAnswer(f func(t *testing.T, r *ResponseInput)) func(t *testing.T) []Finding {
	return func(t *testing.T) []Finding {
		r := answer(t)
		f(t, r)
		return examinedResponse(t, r)
	}
}

func brokenSingle(f func(s *singleResponse)) func(t *testing.T) []Finding {
	return brokenAnswer(func(_ *testing.T, r *ResponseInput) { f(&r.Singles[1]) })
}

var responseTrips = map[string]func(t *testing.T) []Finding{
	CheckResponseForm:         func(*testing.T) []Finding { return ExamineResponse([]byte{0x30, 0}, Context{}) },
	"ocsp-response-status":    brokenAnswer(func(_ *testing.T, r *ResponseInput) { r.Status, r.Basic = 4, false }),
	"ocsp-response-bytes":     brokenAnswer(func(_ *testing.T, r *ResponseInput) { r.Basic = false }),
	"ocsp-response-type":      brokenAnswer(func(_ *testing.T, r *ResponseInput) { r.Type = private }),
	"ocsp-response-version":   brokenAnswer(func(_ *testing.T, r *ResponseInput) { r.VersionThere = true }),
	"ocsp-response-algorithm": brokenAnswer(func(_ *testing.T, r *ResponseInput) { r.Algorithm = withNull(r.Algorithm) }),
	"ocsp-response-singles":   brokenAnswer(func(_ *testing.T, r *ResponseInput) { r.Singles = nil }),
	"ocsp-response-produced-at": brokenAnswer(func(_ *testing.T, r *ResponseInput) {
		r.ProducedAt = generalized("20260301000000.5Z")
	}),
	"ocsp-single-times":       brokenSingle(func(s *singleResponse) { s.revokedAt = utc("260201000000Z") }),
	"ocsp-single-order":       brokenSingle(func(s *singleResponse) { s.nextUpdate = s.thisUpdate }),
	"ocsp-single-next-update": brokenSingle(func(s *singleResponse) { s.nextUpdate = stamp{} }),
	"ocsp-single-not-later":   brokenSingle(func(s *singleResponse) { s.thisUpdate = generalized("20260301000001Z") }),
	"ocsp-single-hash":        brokenSingle(func(s *singleResponse) { s.hash = "1.2.840.113549.2.5" }),
	"ocsp-single-reason":      brokenSingle(func(s *singleResponse) { s.reason = reasonRemoveFromCRL }),
	"ocsp-single-critical": brokenSingle(func(s *singleResponse) {
		s.extensions = []Extension{{private, true, []byte{5, 0}}}
	}),
	"ocsp-response-extensions": brokenAnswer(func(_ *testing.T, r *ResponseInput) { r.Extensions[0].Critical = true }),
	"ocsp-response-nonce":      brokenAnswer(func(_ *testing.T, r *ResponseInput) { r.Extensions[0].Value = []byte{4, 0} }),
	"ocsp-response-signature-form": brokenAnswer(func(_ *testing.T, r *ResponseInput) {
		r.Signature = make([]byte, 64)
	}),
	"ocsp-response-signature-minimal": brokenAnswer(func(_ *testing.T, r *ResponseInput) {
		r.Signature = []byte{0x30, 7, 2, 2, 0, 1, 2, 1, 1}
	}),
	"ocsp-response-signer":             brokenAnswer(func(_ *testing.T, r *ResponseInput) { r.ByKey = []byte{1} }),
	"ocsp-response-signature-verifies": brokenAnswer(func(_ *testing.T, r *ResponseInput) { r.Signature = anySignature }),
	"ocsp-response-delegation":         brokenAnswer(func(t *testing.T, r *ResponseInput) { r.Issuer = another(t, r.Issuer) }),
}

func brokenRequest(f func(t *testing.T, r *RequestInput)) func(t *testing.T) []Finding {
	return func(t *testing.T) []Finding {
		r := asked(t)
		f(t, r)
		return examinedRequest(t, r)
	}
}

var requestTrips = map[string]func(t *testing.T) []Finding{
	CheckRequestForm:  func(*testing.T) []Finding { return ExamineRequest([]byte{0x30, 0}) },
	"request-version": brokenRequest(func(_ *testing.T, r *RequestInput) { r.Version = 1 }),
	"request-subject": brokenRequest(func(t *testing.T, r *RequestInput) { r.Subject = rdns(t, country("CHN")) }),
	"request-key": brokenRequest(func(t *testing.T, r *RequestInput) {
		r.SPKI = slices.Clone(r.SPKI)
		r.SPKI[22]++
	}),
	"request-algorithm": brokenRequest(func(t *testing.T, r *RequestInput) {
		r.Algorithm = tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) { b.AddBytes([]byte{6, 2, 0x2a, 3}) }))
	}),
	"request-algorithm-null":    brokenRequest(func(_ *testing.T, r *RequestInput) { r.Algorithm = withNull(r.Algorithm) }),
	"request-signature-form":    brokenRequest(func(_ *testing.T, r *RequestInput) { r.Signature = make([]byte, 64) }),
	"request-signature-minimal": brokenRequest(func(_ *testing.T, r *RequestInput) { r.Signature = []byte{0x30, 7, 2, 2, 0, 1, 2, 1, 1} }),
	"request-possession": brokenRequest(func(t *testing.T, r *RequestInput) {
		r.Signature = signature(t, []byte("something else"), subjectD)
	}),
	"request-bounds": brokenRequest(func(_ *testing.T, r *RequestInput) { r.raw = []byte{0x30, 0} }),
}
