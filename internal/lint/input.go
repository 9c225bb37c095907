package lint

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Bounds of ParseObjects.
const (
	// MaxInput bounds a file in bytes: a list of two million entries in PEM.
	MaxInput   = 160 << 20
	maxObjects = 1024
)

// Family is what an object is, before it is taken apart.
type Family string

// Families.
const (
	FamilyCertificate Family = "certificate"
	FamilyCRL         Family = "CRL"
	FamilyResponse    Family = "OCSP response"
	FamilyRequest     Family = "request"
)

// pemFamilies are the block types that are taken (RFC 7468), and some old ones.
var pemFamilies = map[string]Family{
	pki.PEMCertificate: FamilyCertificate, "X509 CERTIFICATE": FamilyCertificate, pki.PEMCRL: FamilyCRL,
	pki.PEMRequest: FamilyRequest, "NEW CERTIFICATE REQUEST": FamilyRequest, "OCSP RESPONSE": FamilyResponse,
}

// Object is one thing to lint.
type Object struct {
	Family Family
	DER    []byte
}

// ParseObjects reads what a file holds: PEM blocks, with text around them if
// there is, or one object in DER, whose family is told by its shape.
func ParseObjects(b []byte) ([]Object, error) {
	if len(b) > MaxInput {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(b), MaxInput)
	}
	blocks := bytes.Count(b, []byte("-----BEGIN "))
	if blocks == 0 {
		f, err := familyOf(b)
		if err != nil {
			return nil, err
		}
		return []Object{{f, b}}, nil
	}
	if blocks > maxObjects {
		return nil, fmt.Errorf("has more than %d PEM blocks", maxObjects)
	}
	var out []Object
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		f, ok := pemFamilies[block.Type]
		if !ok {
			return nil, fmt.Errorf("PEM block %d is %.64q, want a certificate, CRL, request or OCSP response", len(out)+1, block.Type)
		}
		out = append(out, Object{f, block.Bytes})
	}
	if len(out) != blocks { // Decode skips a block that it cannot read; that must not pass silently
		return nil, fmt.Errorf("has %d PEM blocks of which %d can be read", blocks, len(out))
	}
	return out, nil
}

// familyOf looks at the tags of the first elements.
func familyOf(der []byte) (Family, error) {
	unknown := errors.New("is neither PEM nor a certificate, CRL, request or OCSP response in DER")
	in := cryptobyte.String(der)
	var outer, tbs cryptobyte.String
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) {
		return "", unknown
	}
	if outer.PeekASN1Tag(cbasn1.ENUM) {
		return FamilyResponse, nil
	}
	if !outer.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return "", unknown
	}
	if tbs.PeekASN1Tag(explicit(0)) {
		return FamilyCertificate, nil
	}
	tbs.SkipOptionalASN1(cbasn1.INTEGER)
	for range 2 { // signature and issuer, or subject and key
		if !tbs.SkipASN1(cbasn1.SEQUENCE) {
			return "", unknown
		}
	}
	switch {
	case tbs.PeekASN1Tag(cbasn1.UTCTime), tbs.PeekASN1Tag(cbasn1.GeneralizedTime):
		return FamilyCRL, nil
	case tbs.PeekASN1Tag(cbasn1.SEQUENCE):
		return FamilyCertificate, nil
	case tbs.PeekASN1Tag(explicit(0)):
		return FamilyRequest, nil
	}
	return "", unknown
}

// Issuers are the CA certificates among which issuers are looked for.
type Issuers []*smx509.Certificate

// Add takes a certificate up, unless it cannot be read.
func (s *Issuers) Add(der []byte) {
	if c, err := smx509.ParseCertificate(der); err == nil {
		*s = append(*s, c)
	}
}

// Of finds the issuer of an object by its name and, when the object has one, by
// its authorityKeyIdentifier. nil: not known, not needed, or ambiguous by name.
func (s Issuers) Of(o Object) *smx509.Certificate {
	var name []byte
	var extensions []Extension
	switch o.Family {
	case FamilyCertificate:
		c, err := parseCertificate(o.DER, Context{})
		if err != nil || c.selfIssued() {
			return nil
		}
		name, extensions = c.IssuerDER, c.Extensions
	case FamilyCRL:
		c, err := parseCRL(o.DER, Context{})
		if err != nil {
			return nil
		}
		name, extensions = c.IssuerDER, c.Extensions
	case FamilyResponse:
		return s.ofResponse(o.DER)
	default:
		return nil
	}
	aki, _ := readAuthorityKeyID(extensions)
	return s.find(name, aki.keyID)
}

func (s Issuers) find(name, keyID []byte) *smx509.Certificate {
	var found *smx509.Certificate
	for _, c := range s {
		if !bytes.Equal(c.RawSubject, name) {
			continue
		}
		if len(keyID) > 0 && bytes.Equal(keyID, c.SubjectKeyId) {
			return c
		}
		if found != nil && !bytes.Equal(found.Raw, c.Raw) {
			return nil
		}
		found = c
	}
	return found
}

// ofResponse is the issuer of the responder's certificate.
func (s Issuers) ofResponse(der []byte) *smx509.Certificate {
	for _, cert := range ResponseCertificates(der) {
		if c := s.Of(Object{FamilyCertificate, cert}); c != nil {
			return c
		}
	}
	return nil
}

// Examine lints an object; kind as in ExamineCertificate. It is an error when
// kind is of another family.
func Examine(o Object, issuer *smx509.Certificate, kind Kinds) ([]Finding, error) {
	families := map[Family]Kinds{FamilyCertificate: kindsCertificate, FamilyCRL: kindsCRL, FamilyResponse: KindOCSPResponse, FamilyRequest: KindRequest}
	if kind&^families[o.Family] != 0 {
		return nil, fmt.Errorf("is a %s, which cannot be linted as %s", o.Family, kind)
	}
	ctx := Context{Issuer: issuer}
	switch o.Family {
	case FamilyCertificate:
		return ExamineCertificate(o.DER, ctx, kind), nil
	case FamilyCRL:
		return ExamineCRL(o.DER, ctx, kind), nil
	case FamilyResponse:
		return ExamineResponse(o.DER, ctx), nil
	}
	return ExamineRequest(o.DER), nil
}

// AddAll takes up the certificates among objects.
func (s *Issuers) AddAll(objects []Object) {
	for _, o := range objects {
		if o.Family == FamilyCertificate {
			s.Add(o.DER)
		}
	}
}
