package lint

import (
	"bytes"
	"crypto/rand"
	"math/big"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Keys of the fixtures: the issuer's, and that of whom it certifies.
const (
	issuerD  = 7
	subjectD = 9
)

// sign returns der with a real signature over its first element, unless it has
// another one than anySignature.
func sign(t *testing.T, der []byte, d int64) []byte {
	t.Helper()
	s, err := splitSigned(der)
	if err != nil || !bytes.Equal(s.signature, anySignature) {
		return der
	}
	in := cryptobyte.String(der)
	var tbs cryptobyte.String
	in.ReadASN1(&in, cbasn1.SEQUENCE)
	in.ReadASN1Element(&tbs, cbasn1.SEQUENCE)
	sig := signature(t, tbs, d)
	return tlv(t, cbasn1.SEQUENCE, derOf(t, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(s.algorithm)
		b.AddASN1BitString(sig)
	}))
}

// derOf is der under a name that parameters do not hide.
func derOf(t *testing.T, f func(b *cryptobyte.Builder)) []byte { return der(t, f) }

func signature(t *testing.T, tbs []byte, d int64) []byte {
	t.Helper()
	key, err := sm2.NewPrivateKeyFromInt(big.NewInt(d))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := key.SignMessage(rand.Reader, tbs, sm2.DefaultSM2SignerOpts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func pointsDER(t *testing.T, uris ...string) []byte {
	return tlv(t, cbasn1.SEQUENCE, tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) { pki.AddDistributionPointName(b, uris...) })))
}

func points(t *testing.T) Extension {
	return Extension{pki.OIDCRLDistributionPoints, false, pointsDER(t, "http://crl/1.crl", "ldap://crl/cn=1,c=CN?certificateRevocationList;binary")}
}

// subscriber, authority, root, responder, stamper and encryption pass every rule.
func subscriber(t *testing.T) *CertificateInput {
	c := subscriberFixture(t, issuerFixture(t))
	c.Serial = bytes.Repeat([]byte{0x51}, 16)
	number, err := pki.IdentityExtension{Encoding: pki.EncodingResidentCardChoice0}.DER("11010519491231002X")
	if err != nil {
		t.Fatal(err)
	}
	c.set(Extension{oidIdentifyCode, false, number})
	c.set(points(t))
	return c
}

func authority(t *testing.T) *CertificateInput {
	c := caFixture(t, issuerFixture(t))
	c.Serial = bytes.Repeat([]byte{0x51}, 16)
	c.set(points(t))
	return c
}

func root(t *testing.T) *CertificateInput {
	c := authority(t)
	c.Issuer, c.IssuerDER, c.SPKI = nil, c.SubjectDER, spki(t, issuerD)
	c.Extensions = append(keyIDs(t, c.SPKI, c.SPKI), keyUsage(t, pki.KeyUsagesCA, true),
		Extension{pki.OIDBasicConstraints, true, marshal(t, basicConstraints{true, -1})})
	return c
}

func encryption(t *testing.T) *CertificateInput {
	c := subscriber(t)
	c.set(keyUsage(t, pki.KeyUsagesEncryption, true))
	c.Extensions = drop(c.Extensions, pki.OIDExtKeyUsage)
	return c
}

func responder(t *testing.T) *CertificateInput {
	c := subscriber(t)
	c.Extensions = append(keyIDs(t, c.Issuer.RawSubjectPublicKeyInfo, c.SPKI), keyUsage(t, pki.KeyUsageDigitalSignature, true),
		extKeyUsage(t, false, pki.OIDExtKeyUsageOCSPSigning), Extension{pki.OIDOCSPNoCheck, false, []byte{5, 0}})
	return c
}

func stamper(t *testing.T) *CertificateInput {
	c := subscriber(t)
	c.set(keyUsage(t, pki.KeyUsagesSigning, true))
	c.set(extKeyUsage(t, true, pki.OIDExtKeyUsageTimeStamping))
	return c
}

func examined(t *testing.T, c *CertificateInput) []Finding {
	return ExamineCertificate(sign(t, certificateDER(t, c), issuerD), c.Context, c.kind)
}

// list passes every rule.
func list(t *testing.T) *CRLInput { return crlFixture(t, issuerFixture(t)) }

// userList is not an ARL.
func userList(t *testing.T) *CRLInput {
	c := list(t)
	name := der(t, func(b *cryptobyte.Builder) { pki.AddDistributionPointName(b, "http://crl/1.crl") })
	c.scoped(t, name)
	return c
}

func (c *CRLInput) scoped(t *testing.T, content []byte) {
	c.Extensions = set(c.Extensions, Extension{pki.OIDIssuingDistribution, true, tlv(t, cbasn1.SEQUENCE, content)})
}

func deltaList(t *testing.T) *CRLInput {
	c := userList(t)
	c.Extensions = append(c.Extensions, Extension{oidDeltaCRLIndicator, true, []byte{2, 1, 6}})
	c.Entries = append(c.Entries, entryDER(t, []byte{1, 3}, utc("260228000000Z"), reasonDER(t, false, reasonRemoveFromCRL))...)
	return c
}

func examinedList(t *testing.T, c *CRLInput) []Finding {
	return ExamineCRL(sign(t, crlDER(t, c), issuerD), c.Context, c.kind)
}

// entry is a list of one entry with these extensions.
func (c *CRLInput) entry(t *testing.T, extensions ...Extension) {
	c.Entries = entryDER(t, []byte{9}, utc("260228000000Z"), tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		for _, e := range extensions {
			pki.AddExtension(b, e.OID, e.Critical, e.Value)
		}
	})))
}

// answer is a response that passes every rule, of the responder fixture.
func answer(t *testing.T) *ResponseInput {
	c := responder(t)
	return &ResponseInput{
		Context: Context{Issuer: c.Issuer}, Basic: true, Type: oidOCSPBasic, ByKey: pki.KeyID(c.SPKI), ProducedAt: generalized("20260301000000Z"),
		Singles: []singleResponse{
			{hash: "1.2.156.10197.1.401", state: cbasn1.Tag(0).ContextSpecific(), reason: -1, thisUpdate: generalized("20260301000000Z"), nextUpdate: generalized("20260302000000Z")},
			{hash: "1.3.14.3.2.26", state: explicit(1), reason: 1, revokedAt: generalized("20260201000000Z"), thisUpdate: generalized("20260301000000Z"), nextUpdate: generalized("20260302000000Z")},
		},
		Extensions: []Extension{{oidOCSPNonce, false, []byte{4, 2, 1, 2}}},
		Algorithm:  pki.SignatureAlgorithmDER(),
		Certs:      [][]byte{sign(t, certificateDER(t, c), issuerD)},
	}
}

// responseDER writes what parseResponse reads.
func responseDER(t *testing.T, r *ResponseInput) []byte {
	data := tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		if r.VersionThere {
			b.AddBytes([]byte{0xa0, 3, 2, 1, 0})
		}
		if r.ByName != nil {
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { b.AddBytes(r.ByName) })
		} else {
			b.AddASN1(explicit(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(r.ByKey) })
		}
		addStamp(b, r.ProducedAt)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, s := range r.Singles {
				addSingle(t, b, s)
			}
		})
		addExtensions(b, explicit(1), r.Extensions)
	}))
	sig := r.Signature
	if sig == nil {
		sig = signature(t, data, subjectD)
	}
	basic := tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		b.AddBytes(data)
		b.AddBytes(r.Algorithm)
		b.AddASN1BitString(sig)
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, c := range r.Certs {
					b.AddBytes(c)
				}
			})
		})
	}))
	oid, err := pki.ParseOID(r.Type)
	if err != nil {
		t.Fatal(err)
	}
	return tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(int64(r.Status))
		if r.Basic {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oid)
					b.AddASN1OctetString(basic)
				})
			})
		}
	}))
}

func addSingle(t *testing.T, b *cryptobyte.Builder, s singleResponse) {
	oid, err := pki.ParseOID(s.hash)
	if err != nil {
		t.Fatal(err)
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid) })
			b.AddASN1OctetString([]byte{1})
			b.AddASN1OctetString([]byte{2})
			b.AddASN1Int64(3)
		})
		b.AddASN1(s.state, func(b *cryptobyte.Builder) {
			if s.state != explicit(1) {
				return
			}
			addStamp(b, s.revokedAt)
			if s.reason >= 0 {
				b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(s.reason)) })
			}
		})
		addStamp(b, s.thisUpdate)
		if s.nextUpdate.tag != 0 {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { addStamp(b, s.nextUpdate) })
		}
		if s.extensions != nil {
			addExtensions(b, explicit(1), s.extensions)
		}
	})
}

func examinedResponse(t *testing.T, r *ResponseInput) []Finding {
	return ExamineResponse(responseDER(t, r), r.Context)
}

// asked is a request that passes every rule.
func asked(t *testing.T) *RequestInput {
	return &RequestInput{Subject: nameDER(t, "CN=张三,C=CN"), SPKI: spki(t, subjectD), Algorithm: pki.SignatureAlgorithmDER(), Signature: anySignature}
}

func requestDER(t *testing.T, r *RequestInput) []byte {
	return sign(t, tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(int64(r.Version))
			b.AddBytes(r.Subject)
			b.AddBytes(r.SPKI)
			b.AddBytes(append([]byte{0xa0, byte(len(r.raw))}, r.raw...))
		})
		b.AddBytes(r.Algorithm)
		b.AddASN1BitString(r.Signature)
	})), subjectD)
}

func examinedRequest(t *testing.T, r *RequestInput) []Finding {
	return ExamineRequest(requestDER(t, r))
}

// another is a CA with the name and key identifier of the issuer, and another key.
func another(t *testing.T, issuer *smx509.Certificate) *smx509.Certificate {
	out := *issuer
	out.RawSubjectPublicKeyInfo = spki(t, 11)
	return &out
}
