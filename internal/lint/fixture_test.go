package lint

import (
	encasn1 "encoding/asn1"
	"math/big"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// anySignature has the form of one, which is all that lint looks at.
var anySignature = []byte{0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01}

func der(t *testing.T, f func(b *cryptobyte.Builder)) []byte {
	t.Helper()
	var b cryptobyte.Builder
	f(&b)
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tlv(t *testing.T, tag cbasn1.Tag, content []byte) []byte {
	return der(t, func(b *cryptobyte.Builder) {
		b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(content) })
	})
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	out, err := encasn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func spki(t *testing.T, d int64) []byte {
	t.Helper()
	key, err := sm2.NewPrivateKeyFromInt(big.NewInt(d))
	if err != nil {
		t.Fatal(err)
	}
	out, err := pki.MarshalSPKI(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func nameDER(t *testing.T, s string) []byte {
	t.Helper()
	n, err := pki.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return n.DER()
}

func utc(s string) stamp         { return stamp{cbasn1.UTCTime, []byte(s)} }
func generalized(s string) stamp { return stamp{cbasn1.GeneralizedTime, []byte(s)} }

func keyUsage(t *testing.T, u pki.KeyUsage, critical bool) Extension {
	return Extension{pki.OIDKeyUsage, critical, tlv(t, cbasn1.BIT_STRING, u.BitString())}
}

func extKeyUsage(t *testing.T, critical bool, usages ...string) Extension {
	var list []encasn1.ObjectIdentifier
	for _, u := range usages {
		oid, err := pki.ParseOID(u)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, oid)
	}
	return Extension{pki.OIDExtKeyUsage, critical, marshal(t, list)}
}

type basicConstraints struct {
	CA      bool `asn1:"optional"`
	PathLen int  `asn1:"optional,default:-1"`
}

func keyIDs(t *testing.T, issuer, subject []byte) []Extension {
	t.Helper()
	aki, err := pki.AuthorityKeyIDDER(pki.KeyID(issuer))
	if err != nil {
		t.Fatal(err)
	}
	return []Extension{
		{pki.OIDAuthorityKeyID, false, aki},
		{pki.OIDSubjectKeyID, false, tlv(t, cbasn1.OCTET_STRING, pki.KeyID(subject))},
	}
}

// issuerFixture is a CA with path length 1.
func issuerFixture(t *testing.T) *smx509.Certificate {
	t.Helper()
	key := spki(t, 7)
	c := &CertificateInput{
		Version: 3, Serial: []byte{1}, InnerAlgorithm: pki.SignatureAlgorithmDER(), OuterAlgorithm: pki.SignatureAlgorithmDER(),
		IssuerDER: nameDER(t, "CN=CA,C=CN"), SubjectDER: nameDER(t, "CN=CA,C=CN"), SPKI: key,
		NotBefore: utc("260101000000Z"), NotAfter: generalized("20600101000000Z"), Signature: anySignature,
		Extensions: append(keyIDs(t, key, key), keyUsage(t, pki.KeyUsagesCA, true),
			Extension{pki.OIDBasicConstraints, true, marshal(t, basicConstraints{true, 1})}),
	}
	out := certificateDER(t, c)
	if found := Certificate(out, Context{}); len(found) != 0 {
		t.Fatalf("the issuer's certificate is not good: %v", found)
	}
	cert, err := smx509.ParseCertificate(out)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func insurance() pki.IdentityExtension {
	return pki.IdentityExtension{Name: "insuranceNumber", OID: "1.2.156.10260.4.1.2", Encoding: pki.EncodingPrintableString}
}

// subscriberFixture passes every check.
func subscriberFixture(t *testing.T, issuer *smx509.Certificate) *CertificateInput {
	t.Helper()
	key := spki(t, 9)
	point := tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) { pki.AddDistributionPointName(b, "http://crl/1.crl") }))
	san, err := pki.SubjectAltNames{DNS: []string{"a.example"}}.DER()
	if err != nil {
		t.Fatal(err)
	}
	identify, err := pki.IdentityExtension{Encoding: pki.EncodingResidentCardChoice0}.DER("110101199003070000")
	if err != nil {
		t.Fatal(err)
	}
	return &CertificateInput{
		Context: Context{Issuer: issuer, Identity: []pki.IdentityExtension{insurance()}},
		Version: 3, Serial: []byte{2}, InnerAlgorithm: pki.SignatureAlgorithmDER(), OuterAlgorithm: pki.SignatureAlgorithmDER(),
		IssuerDER: issuer.RawSubject, SubjectDER: nameDER(t, "CN=张三,C=CN"), SPKI: key,
		NotBefore: utc("260201000000Z"), NotAfter: utc("270201000000Z"), Signature: anySignature,
		Extensions: append(keyIDs(t, issuer.RawSubjectPublicKeyInfo, key),
			keyUsage(t, pki.KeyUsagesSigning, true),
			extKeyUsage(t, false, "1.3.6.1.5.5.7.3.2"),
			Extension{pki.OIDSubjectAltName, false, san},
			Extension{pki.OIDCRLDistributionPoints, false, tlv(t, cbasn1.SEQUENCE, point)},
			Extension{pki.OIDAuthorityInfoAccess, false, accessDER(t, pki.OIDAccessOCSP, "http://ocsp/")},
			Extension{oidIdentifyCode, false, identify},
			Extension{insurance().OID, false, tlv(t, cbasn1.PrintableString, []byte("A1"))},
		),
	}
}

// caFixture passes every check too.
func caFixture(t *testing.T, issuer *smx509.Certificate) *CertificateInput {
	c := subscriberFixture(t, issuer)
	c.Extensions = append(c.Extensions[:2], keyUsage(t, pki.KeyUsagesCA, true),
		Extension{pki.OIDBasicConstraints, true, marshal(t, basicConstraints{true, 0})})
	return c
}

func accessDER(t *testing.T, method, uri string) []byte {
	oid, err := pki.ParseOID(method)
	if err != nil {
		t.Fatal(err)
	}
	return tlv(t, cbasn1.SEQUENCE, tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(cbasn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(uri)) })
	})))
}

func addExtensions(b *cryptobyte.Builder, tag cbasn1.Tag, list []Extension) {
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, e := range list {
				pki.AddExtension(b, e.OID, e.Critical, e.Value)
			}
		})
	})
}

func addStamp(b *cryptobyte.Builder, s stamp) {
	b.AddASN1(s.tag, func(b *cryptobyte.Builder) { b.AddBytes(s.raw) })
}

// certificateDER writes what parseCertificate reads.
func certificateDER(t *testing.T, c *CertificateInput) []byte {
	return tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(c.Version - 1)) })
			b.AddASN1(cbasn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(c.Serial) })
			b.AddBytes(c.InnerAlgorithm)
			b.AddBytes(c.IssuerDER)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addStamp(b, c.NotBefore); addStamp(b, c.NotAfter) })
			b.AddBytes(c.SubjectDER)
			b.AddBytes(c.SPKI)
			if c.UniqueIDs {
				b.AddASN1(cbasn1.Tag(1).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte{0, 1}) })
			}
			addExtensions(b, explicit(3), c.Extensions)
		})
		b.AddBytes(c.OuterAlgorithm)
		b.AddASN1BitString(c.Signature)
	}))
}

// set replaces the extension of the OID, or adds it.
func (c *CertificateInput) set(e Extension) { c.Extensions = set(c.Extensions, e) }

func set(list []Extension, e Extension) []Extension {
	for i := range list {
		if list[i].OID == e.OID {
			list[i] = e
			return list
		}
	}
	return append(list, e)
}

// drop removes it.
func drop(list []Extension, oid string) []Extension {
	var out []Extension
	for _, e := range list {
		if e.OID != oid {
			out = append(out, e)
		}
	}
	return out
}
