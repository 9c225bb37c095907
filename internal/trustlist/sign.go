package trustlist

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Tags of PKCS#7.
var (
	tagExplicit0   = cbasn1.Tag(0).ContextSpecific().Constructed()
	tagCerts       = tagExplicit0
	tagSignedAttrs = tagExplicit0
)

// Sign signs a list in a form with the key of certificate, which must be a trust
// list signer's. It refuses a list that Verify would not take, and returns DER.
func Sign(signer crypto.MessageSigner, certificate *smx509.Certificate, l List, form Form) ([]byte, error) {
	der, err := sign(signer, certificate, l, form)
	if err != nil {
		return nil, fmt.Errorf("sign trust list: %w", err)
	}
	return der, nil
}

func sign(signer crypto.MessageSigner, certificate *smx509.Certificate, l List, form Form) ([]byte, error) {
	if err := checkSigner(certificate); err != nil {
		return nil, fmt.Errorf("signer's certificate: %w", err)
	}
	content, err := l.marshal()
	if err != nil {
		return nil, err
	}
	attributes, err := marshalAttributes(form, digestOf(content, form))
	if err != nil {
		return nil, err
	}
	key, err := pki.ParseSM2SPKI(certificate.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, fmt.Errorf("signer's certificate: %w", err)
	}
	verifier, err := pki.NewVerifier(key)
	if err != nil {
		return nil, err
	}
	// RFC 2315 §9.3: what is signed is the SET OF, under its own tag.
	assembled, err := verifier.Sign(signer, attributes)
	if err != nil {
		return nil, err
	}
	signature, err := signatureOf(assembled)
	if err != nil {
		return nil, err
	}
	der, err := marshalSigned(content, form, attributes, signature, certificate, l.Certificates)
	if err != nil {
		return nil, err
	}
	if len(der) > MaxSigned {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(der), MaxSigned)
	}
	return der, nil
}

// signatureOf takes the signature out of SEQUENCE { tbs, algorithm, BIT STRING }.
func signatureOf(assembled []byte) ([]byte, error) {
	in := cryptobyte.String(assembled)
	var body, tbs, algorithm cryptobyte.String
	var signature []byte
	var tag cbasn1.Tag
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadAnyASN1Element(&tbs, &tag) ||
		!body.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !body.ReadASN1BitStringAsBytes(&signature) {
		return nil, errors.New("read back the signature")
	}
	return signature, nil
}

// marshal writes the CertificateTrustList.
func (l List) marshal() ([]byte, error) {
	if err := checkName(l.Name); err != nil {
		return nil, err
	}
	switch n := len(l.Certificates); {
	case l.Sequence < 1:
		return nil, fmt.Errorf("sequence number %d: want a positive one from the ledger", l.Sequence)
	case n == 0 || n > MaxEntries:
		return nil, fmt.Errorf("certificates: are %d, want 1 to %d", n, MaxEntries)
	case !l.NextUpdate.Truncate(time.Second).After(l.ThisUpdate):
		return nil, fmt.Errorf("next update %s is not after this update %s", l.NextUpdate, l.ThisUpdate)
	}
	identifiers := make([]Identifier, len(l.Certificates))
	for i, c := range l.Certificates {
		if err := checkTrusted(c); err != nil {
			return nil, err
		}
		identifiers[i] = Identify(c)
	}
	slices.SortFunc(identifiers, func(a, b Identifier) int { return bytes.Compare(a[:], b[:]) })
	for i := 1; i < len(identifiers); i++ {
		if identifiers[i] == identifiers[i-1] {
			return nil, fmt.Errorf("certificate %x is there twice", identifiers[i])
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addOID(b, oidAnyUsage) })
		b.AddASN1OctetString([]byte(l.Name))
		b.AddASN1Int64(l.Sequence)
		pki.AddTime(b, l.ThisUpdate)
		pki.AddTime(b, l.NextUpdate)
		addAlgorithm(b, oidSM3)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, id := range identifiers {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1OctetString(id[:]) })
			}
		})
	})
	return b.Bytes()
}

// digestOf is SM3 over the content's octets, without its own tag and length
// (RFC 2315 §9.3): the list's in a CTL, the whole DER in a bundle.
func digestOf(content []byte, form Form) [sm3.Size]byte {
	if form == FormBundle {
		return sm3.Sum(content)
	}
	in := cryptobyte.String(content)
	var octets cryptobyte.String
	in.ReadASN1(&octets, cbasn1.SEQUENCE)
	return sm3.Sum(octets)
}

// marshalAttributes writes authenticatedAttributes as a SET OF. The two are in
// DER's order: their values are shorter and longer.
func marshalAttributes(form Form, digest [sm3.Size]byte) ([]byte, error) {
	var contentType, messageDigest cryptobyte.Builder
	addAttribute(&contentType, oidContentType, func(b *cryptobyte.Builder) { addOID(b, form.contentType()) })
	addAttribute(&messageDigest, oidMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(digest[:]) })
	return setOf(cbasn1.SET, &contentType, &messageDigest)
}

func addAttribute(b *cryptobyte.Builder, oid string, value cryptobyte.BuilderContinuation) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oid)
		b.AddASN1(cbasn1.SET, value)
	})
}

// setOf writes a SET OF in the order of X.690 §11.6 under a tag.
func setOf(tag cbasn1.Tag, elements ...*cryptobyte.Builder) ([]byte, error) {
	encoded := make([][]byte, len(elements))
	for i, e := range elements {
		var err error
		if encoded[i], err = e.Bytes(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(encoded, bytes.Compare)
	var b cryptobyte.Builder
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		for _, e := range encoded {
			b.AddBytes(e)
		}
	})
	return b.Bytes()
}

// marshalSigned writes the ContentInfo with its SignedData (RFC 2315 §9.1).
func marshalSigned(content []byte, form Form, attributes, signature []byte, signer *smx509.Certificate, trusted []*smx509.Certificate) ([]byte, error) {
	bag := make([]*cryptobyte.Builder, 0, len(trusted)+1)
	for _, c := range append([]*smx509.Certificate{signer}, trusted...) {
		bag = append(bag, cryptobyte.NewBuilder(c.Raw))
	}
	certificates, err := setOf(tagCerts, bag...)
	if err != nil {
		return nil, err
	}
	signedAttributes := bytes.Clone(attributes)
	signedAttributes[0] = byte(tagSignedAttrs)
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oidSignedData)
		b.AddASN1(tagExplicit0, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)
				b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { addAlgorithm(b, oidSM3) })
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					addOID(b, form.contentType())
					b.AddASN1(tagExplicit0, func(b *cryptobyte.Builder) {
						if form == FormBundle {
							b.AddASN1OctetString(content)
						} else {
							b.AddBytes(content)
						}
					})
				})
				b.AddBytes(certificates)
				b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) { addSignerInfo(b, signer, signedAttributes, signature) })
			})
		})
	})
	return b.Bytes()
}

// addSignerInfo names 1.2.156.10197.1.501 as digestEncryptionAlgorithm, and not
// 1.2.156.10197.1.301.1 of GM/T 0010, which BouncyCastle cannot verify.
func addSignerInfo(b *cryptobyte.Builder, signer *smx509.Certificate, attributes, signature []byte) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(signer.RawIssuer)
			b.AddASN1BigInt(signer.SerialNumber)
		})
		addAlgorithm(b, oidSM3)
		b.AddBytes(attributes)
		b.AddBytes(pki.SignatureAlgorithmDER())
		b.AddASN1OctetString(signature)
	})
}

func addOID(b *cryptobyte.Builder, oid string) {
	id, err := pki.ParseOID(oid)
	if err != nil {
		b.SetError(err)
		return
	}
	b.AddASN1ObjectIdentifier(id)
}

// addAlgorithm writes an AlgorithmIdentifier without parameters.
func addAlgorithm(b *cryptobyte.Builder, oid string) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addOID(b, oid) })
}
