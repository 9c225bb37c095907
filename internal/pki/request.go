package pki

import (
	"crypto"
	"crypto/ecdsa"
	encasn1 "encoding/asn1"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxRequestExtensions bounds the attributes of a request, and the extensions in one.
const maxRequestExtensions = 64

// Request is a certificate request (证书请求), PKCS #10 as in GM/T 0092-2020.
// Nothing in it is proved until VerifyPossession returned nil.
type Request struct {
	DER     []byte
	Subject Name // may be empty
	// SPKI is the SubjectPublicKeyInfo.
	SPKI []byte
	// PublicKey is nil when its algorithm is not known here.
	PublicKey       any
	SubjectAltNames SubjectAltNames
	// SignatureAlgorithm is a dotted OID.
	SignatureAlgorithm string
	// IgnoredExtensions are the dotted OIDs of requested extensions other than
	// subjectAltName: what a certificate holds is for its profile to say.
	IgnoredExtensions []string

	tbs          []byte
	algorithmDER []byte
	signature    []byte
	// sm2Key is PublicKey when it is SM2, otherwise notSM2 says why not.
	sm2Key *ecdsa.PublicKey
	notSM2 error
}

// ParseRequest reads one PEM block CERTIFICATE REQUEST (or NEW CERTIFICATE
// REQUEST) of at most MaxRequestDER bytes. A request with a key other than SM2
// is read too, so that it can be denied by a named check.
func ParseRequest(pemBytes []byte) (*Request, error) {
	ders, err := decodePEM(pemBytes, 1, MaxRequestDER, PEMRequest, "NEW CERTIFICATE REQUEST")
	if err != nil {
		return nil, fmt.Errorf("parse certificate request: %w", err)
	}
	return ParseRequestDER(ders[0])
}

// ParseRequestDER is ParseRequest without the armour.
func ParseRequestDER(der []byte) (*Request, error) {
	r, err := parseRequest(der)
	if err != nil {
		return nil, fmt.Errorf("parse certificate request: %w", err)
	}
	return r, nil
}

func parseRequest(der []byte) (*Request, error) {
	if len(der) > MaxRequestDER {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(der), MaxRequestDER)
	}
	r := &Request{DER: append([]byte(nil), der...)}
	in := cryptobyte.String(r.DER)
	var outer, tbs, info, algorithm, name, spki cryptobyte.String
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, errors.New("is not one SEQUENCE")
	}
	var sig encasn1.BitString
	if !outer.ReadASN1Element(&tbs, cbasn1.SEQUENCE) || !outer.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!outer.ReadASN1BitString(&sig) || !outer.Empty() {
		return nil, errors.New("is not certificationRequestInfo, signatureAlgorithm, signature")
	}
	r.tbs, r.algorithmDER, r.signature = tbs, algorithm, sig.RightAlign()

	var oid encasn1.ObjectIdentifier
	if !algorithm.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid) {
		return nil, errors.New("signatureAlgorithm is malformed")
	}
	r.SignatureAlgorithm = oid.String()

	var version int
	if !tbs.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1Integer(&version) || version != 0 {
		return nil, errors.New("version is not v1(0)")
	}
	if !info.ReadASN1Element(&name, cbasn1.SEQUENCE) || !info.ReadASN1Element(&spki, cbasn1.SEQUENCE) {
		return nil, errors.New("subject or subjectPKInfo is malformed")
	}
	var err error
	if r.Subject, err = ParseNameDER(name); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	r.SPKI = spki
	if KeyID(spki) == nil {
		return nil, errors.New("subjectPKInfo is malformed")
	}
	if r.sm2Key, r.notSM2 = ParseSM2SPKI(spki); r.notSM2 == nil {
		r.PublicKey = r.sm2Key
	} else if key, err := smx509.ParsePKIXPublicKey(spki); err == nil {
		// A key that smx509 cannot read either is left nil for IsSM2 to speak about.
		r.PublicKey = key
	}
	return r, r.readAttributes(info)
}

// readAttributes reads attributes [0]; some clients leave an empty one out.
func (r *Request) readAttributes(info cryptobyte.String) error {
	var attributes cryptobyte.String
	var present bool
	if !info.ReadOptionalASN1(&attributes, &present, cbasn1.Tag(0).ContextSpecific().Constructed()) || !info.Empty() {
		return errors.New("attributes are malformed")
	}
	seen := false
	for n := 0; !attributes.Empty(); n++ {
		var attribute, values, extensions cryptobyte.String
		var oid encasn1.ObjectIdentifier
		if n == maxRequestExtensions {
			return fmt.Errorf("has more than %d attributes", maxRequestExtensions)
		}
		if !attributes.ReadASN1(&attribute, cbasn1.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) {
			return errors.New("attributes are malformed")
		}
		if oid.String() != OIDExtensionRequest {
			continue
		}
		if seen || !attribute.ReadASN1(&values, cbasn1.SET) || !attribute.Empty() ||
			!values.ReadASN1(&extensions, cbasn1.SEQUENCE) || !values.Empty() {
			return errors.New("extensionRequest must be there once, with one value")
		}
		seen = true
		if err := r.readExtensions(extensions); err != nil {
			return err
		}
	}
	return nil
}

func (r *Request) readExtensions(in cryptobyte.String) error {
	seen := map[string]bool{}
	for !in.Empty() {
		if len(seen) == maxRequestExtensions {
			return fmt.Errorf("requests more than %d extensions", maxRequestExtensions)
		}
		var extension, value cryptobyte.String
		var oid encasn1.ObjectIdentifier
		var critical bool
		if !in.ReadASN1(&extension, cbasn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&oid) ||
			(extension.PeekASN1Tag(cbasn1.BOOLEAN) && !extension.ReadASN1Boolean(&critical)) ||
			!extension.ReadASN1(&value, cbasn1.OCTET_STRING) || !extension.Empty() {
			return errors.New("requested extension is malformed")
		}
		id := oid.String()
		if seen[id] {
			return fmt.Errorf("requests extension %s twice", id)
		}
		seen[id] = true
		if id != OIDSubjectAltName {
			r.IgnoredExtensions = append(r.IgnoredExtensions, id)
			continue
		}
		var err error
		if r.SubjectAltNames, err = ParseSubjectAltNames(value); err != nil {
			return err
		}
	}
	return nil
}

// SM2PublicKey returns the key, or the error of IsSM2.
func (r *Request) SM2PublicKey() (*ecdsa.PublicKey, error) {
	if r.sm2Key == nil && r.notSM2 == nil { // not made by ParseRequest
		return ParseSM2SPKI(r.SPKI)
	}
	return r.sm2Key, r.notSM2
}

// IsSM2 is nil when the key is SM2 in the form of GM/T 0009-2012 §7.1 and its
// point is on the curve.
func (r *Request) IsSM2() error {
	_, err := r.SM2PublicKey()
	return err
}

// VerifyPossession is nil when the applicant holds the private key: the
// signature is SM2 with SM3 (parameters absent or NULL), made with the default
// ID, and verifies under the request's own key (GM/T 0092-2020).
func (r *Request) VerifyPossession() error {
	pub, err := r.SM2PublicKey()
	if err != nil {
		return fmt.Errorf("verify possession: %w", err)
	}
	if !IsSignatureAlgorithm(r.algorithmDER) {
		return fmt.Errorf("verify possession: signature algorithm is %.64s, want %s with absent or NULL parameters", r.SignatureAlgorithm, OIDSM2WithSM3)
	}
	if !VerifySignature(pub, r.tbs, r.signature) {
		return errors.New("verify possession: signature does not verify under the request's key; sign with the ID 1234567812345678 (GM/T 0009 §10)")
	}
	return nil
}

// CreateRequest signs a request (GM/T 0092-2020) for subject with the signer's
// key and returns its DER.
func CreateRequest(signer crypto.MessageSigner, subject Name) ([]byte, error) {
	pub, err := SignerPublicKey(signer)
	if err != nil {
		return nil, fmt.Errorf("create certificate request: %w", err)
	}
	spki, err := MarshalSPKI(pub)
	if err != nil {
		return nil, fmt.Errorf("create certificate request: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddBytes(subject.DER())
		b.AddBytes(spki)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(*cryptobyte.Builder) {})
	})
	tbs, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("create certificate request: %w", err)
	}
	der, err := Sign(signer, tbs)
	if err != nil {
		return nil, fmt.Errorf("create certificate request: %w", err)
	}
	return der, nil
}
