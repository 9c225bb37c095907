package trustlist

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Signed is a list as it was read. Nothing that it says is to be believed before
// Verify.
type Signed struct {
	Form Form
	List
	// Signer is the certificate that the signature names.
	Signer *smx509.Certificate

	content    []byte // of the list, DER
	digest     []byte // as the attributes say
	attributes []byte // as they were signed
	signature  []byte
}

// Parse reads a signed list in DER of either form. It checks that the
// certificates are those of the list and the signer's. Errors wrap ErrMalformed
// or ErrCertificates.
func Parse(der []byte) (*Signed, error) {
	s, err := parse(der)
	if err != nil {
		return nil, fmt.Errorf("parse trust list: %w", err)
	}
	return s, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

func parse(der []byte) (*Signed, error) {
	if len(der) > MaxSigned {
		return nil, malformed("has %d bytes, at most %d are allowed", len(der), MaxSigned)
	}
	if bytes.HasPrefix(der, []byte("-----BEGIN")) {
		return nil, malformed("it is PEM, want DER: openssl pkcs7 -in FILE -outform DER")
	}
	in := cryptobyte.String(der)
	var info, explicit, body cryptobyte.String
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !in.Empty() || !readOID(&info, oidSignedData) ||
		!info.ReadASN1(&explicit, tagExplicit0) || !info.Empty() ||
		!explicit.ReadASN1(&body, cbasn1.SEQUENCE) || !explicit.Empty() {
		return nil, malformed("want one PKCS#7 signedData (1.2.840.113549.1.7.2) in DER")
	}
	var digests cryptobyte.String
	if !readVersion(&body) || !body.ReadASN1(&digests, cbasn1.SET) || !readAlgorithm(&digests, oidSM3) || !digests.Empty() {
		return nil, malformed("want signedData version 1 with SM3 as its digest algorithm")
	}
	s := &Signed{}
	if err := s.readContent(&body); err != nil {
		return nil, err
	}
	bag, err := readCertificates(&body)
	if err != nil {
		return nil, err
	}
	issuer, serial, err := s.readSignerInfo(&body)
	if err != nil {
		return nil, err
	}
	identifiers, err := s.readList()
	if err != nil {
		return nil, err
	}
	return s, s.match(identifiers, bag, issuer, serial)
}

func readOID(in *cryptobyte.String, want string) bool {
	oid, ok := readAnyOID(in)
	return ok && oid == want
}

func readAnyOID(in *cryptobyte.String) (string, bool) {
	var element cryptobyte.String
	var tag cbasn1.Tag
	if !in.ReadAnyASN1Element(&element, &tag) || tag != cbasn1.OBJECT_IDENTIFIER {
		return "", false
	}
	// The known ones are compared by their bytes: an OID has one encoding.
	for _, known := range []string{oidSignedData, oidData, oidTrustList, oidContentType, oidMessageDigest, oidSM3, oidAnyUsage} {
		var b cryptobyte.Builder
		addOID(&b, known)
		if bytes.Equal(b.BytesOrPanic(), element) {
			return known, true
		}
	}
	return "", false
}

// readAlgorithm takes absent and NULL parameters.
func readAlgorithm(in *cryptobyte.String, oid string) bool {
	var algorithm cryptobyte.String
	if !in.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !readOID(&algorithm, oid) {
		return false
	}
	var null cryptobyte.String
	return algorithm.Empty() || (algorithm.ReadASN1(&null, cbasn1.NULL) && null.Empty() && algorithm.Empty())
}

func readVersion(in *cryptobyte.String) bool {
	var version int64
	return in.ReadASN1Integer(&version) && version == 1
}

// readContent reads the inner ContentInfo.
func (s *Signed) readContent(in *cryptobyte.String) error {
	var info, explicit cryptobyte.String
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) {
		return malformed("want a content")
	}
	switch oid, _ := readAnyOID(&info); oid {
	case oidTrustList:
		s.Form = FormCTL
	case oidData:
		s.Form = FormBundle
	default:
		return malformed("its content is neither a certificate trust list (1.3.6.1.4.1.311.10.1) nor data")
	}
	if !info.ReadASN1(&explicit, tagExplicit0) || !info.Empty() {
		return malformed("its content is missing: a file of certificates alone says nothing of trust")
	}
	content := explicit
	if s.Form == FormBundle && (!explicit.ReadASN1(&content, cbasn1.OCTET_STRING) || !explicit.Empty()) {
		return malformed("its data is not one octet string")
	}
	s.content = content
	return nil
}

// readCertificates reads certificates [0] IMPLICIT.
func readCertificates(in *cryptobyte.String) ([]*smx509.Certificate, error) {
	var set cryptobyte.String
	if !in.ReadASN1(&set, tagCerts) {
		return nil, malformed("carries no certificates")
	}
	var bag []*smx509.Certificate
	for !set.Empty() {
		var der cryptobyte.String
		if len(bag) > MaxEntries || !set.ReadASN1Element(&der, cbasn1.SEQUENCE) {
			return nil, malformed("certificates: want at most %d in DER", MaxEntries+1)
		}
		c, err := pki.ParseCertificate(der)
		if err != nil {
			return nil, malformed("certificates[%d]: %v", len(bag), err)
		}
		bag = append(bag, c)
	}
	return bag, nil
}

// readSignerInfo reads the only SignerInfo, the end of the body.
func (s *Signed) readSignerInfo(in *cryptobyte.String) (issuer []byte, serial *big.Int, err error) {
	var set, info, name, issuerElement, attributes, algorithm cryptobyte.String
	serial = new(big.Int)
	if !in.ReadASN1(&set, cbasn1.SET) || !in.Empty() || !set.ReadASN1(&info, cbasn1.SEQUENCE) || !set.Empty() {
		return nil, nil, malformed("want exactly one signer")
	}
	if !readVersion(&info) || !info.ReadASN1(&name, cbasn1.SEQUENCE) ||
		!name.ReadASN1Element(&issuerElement, cbasn1.SEQUENCE) || !name.ReadASN1Integer(serial) || !name.Empty() {
		return nil, nil, malformed("signer: want version 1 with issuer and serial number")
	}
	if !readAlgorithm(&info, oidSM3) || !info.ReadASN1Element(&attributes, tagSignedAttrs) {
		return nil, nil, malformed("signer: want SM3 and authenticated attributes")
	}
	if !info.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) || !pki.IsSignatureAlgorithm(algorithm) ||
		!info.ReadASN1Bytes(&s.signature, cbasn1.OCTET_STRING) || !info.Empty() {
		return nil, nil, malformed("signer: want a signature by SM2 with SM3 (1.2.156.10197.1.501) at its end")
	}
	// RFC 2315 §9.3: they are signed under the tag of SET OF.
	s.attributes = bytes.Clone(attributes)
	s.attributes[0] = byte(cbasn1.SET)
	return issuerElement, serial, s.readAttributes()
}

func (s *Signed) readAttributes() error {
	in := cryptobyte.String(s.attributes)
	var set cryptobyte.String
	if !in.ReadASN1(&set, cbasn1.SET) || !in.Empty() {
		return malformed("signer: authenticated attributes are no set")
	}
	seen := map[string]bool{}
	for !set.Empty() {
		var attribute, values cryptobyte.String
		if !set.ReadASN1(&attribute, cbasn1.SEQUENCE) {
			return malformed("signer: authenticated attributes are no set of attributes")
		}
		oid, ok := readAnyOID(&attribute)
		if !ok || seen[oid] || !attribute.ReadASN1(&values, cbasn1.SET) || !attribute.Empty() {
			return malformed("signer: want contentType and messageDigest, each once, and no other authenticated attribute")
		}
		seen[oid] = true
		switch oid {
		case oidContentType:
			ok = readOID(&values, s.Form.contentType())
		case oidMessageDigest:
			ok = values.ReadASN1Bytes(&s.digest, cbasn1.OCTET_STRING)
		default:
			ok = false
		}
		if !ok || !values.Empty() {
			return malformed("signer: authenticated attribute %q does not fit the content", oid)
		}
	}
	if len(seen) != 2 {
		return malformed("signer: want contentType and messageDigest as authenticated attributes")
	}
	return nil
}

// readList reads the CertificateTrustList.
func (s *Signed) readList() ([]Identifier, error) {
	in := cryptobyte.String(s.content)
	var body, usage, subjects cryptobyte.String
	var name []byte
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() {
		return nil, malformed("its content is not one CertificateTrustList")
	}
	if !body.ReadASN1(&usage, cbasn1.SEQUENCE) || !readOID(&usage, oidAnyUsage) || !usage.Empty() {
		return nil, malformed("subjectUsage: want anyExtendedKeyUsage alone")
	}
	if !body.ReadASN1Bytes(&name, cbasn1.OCTET_STRING) {
		return nil, malformed("listIdentifier: is missing")
	}
	s.Name = string(name)
	if err := checkName(s.Name); err != nil {
		return nil, malformed("listIdentifier: %v", err)
	}
	if !body.ReadASN1Integer(&s.Sequence) || s.Sequence < 1 {
		return nil, malformed("sequenceNumber: want a positive one of at most 63 bits")
	}
	if !readTime(&body, &s.ThisUpdate) || !readTime(&body, &s.NextUpdate) || !s.NextUpdate.After(s.ThisUpdate) {
		return nil, malformed("want ctlThisUpdate and a later ctlNextUpdate")
	}
	if !readAlgorithm(&body, oidSM3) {
		return nil, malformed("subjectAlgorithm: want SM3 (1.2.156.10197.1.401)")
	}
	if !body.ReadASN1(&subjects, cbasn1.SEQUENCE) || !body.Empty() {
		return nil, malformed("want trustedSubjects at its end, and no extensions")
	}
	var identifiers []Identifier
	for !subjects.Empty() {
		var subject cryptobyte.String
		var id []byte
		if len(identifiers) == MaxEntries {
			return nil, malformed("trustedSubjects: are more than %d", MaxEntries)
		}
		if !subjects.ReadASN1(&subject, cbasn1.SEQUENCE) || !subject.ReadASN1Bytes(&id, cbasn1.OCTET_STRING) || !subject.Empty() || len(id) != len(Identifier{}) {
			return nil, malformed("trustedSubjects[%d]: want the SM3 of a certificate alone", len(identifiers))
		}
		identifiers = append(identifiers, Identifier(id))
	}
	ascending := func(a, b Identifier) int { return bytes.Compare(a[:], b[:]) }
	if len(identifiers) == 0 || !slices.IsSortedFunc(identifiers, ascending) || len(slices.Compact(slices.Clone(identifiers))) != len(identifiers) {
		return nil, malformed("trustedSubjects: want one or more, each once, in ascending order")
	}
	return identifiers, nil
}

// readTime reads a Time of RFC 5280 §4.1.2.5.
func readTime(in *cryptobyte.String, t *time.Time) bool {
	if in.PeekASN1Tag(cbasn1.UTCTime) {
		return in.ReadASN1UTCTime(t)
	}
	return in.ReadASN1GeneralizedTime(t)
}

// match gives the identifiers their certificates. None may be missing, and none
// may be there beside them but the signer's: whoever imports a bundle imports
// every certificate in it.
func (s *Signed) match(identifiers []Identifier, bag []*smx509.Certificate, issuer []byte, serial *big.Int) error {
	held := map[Identifier]*smx509.Certificate{}
	for _, c := range bag {
		if _, twice := held[Identify(c)]; twice {
			return fmt.Errorf("%w: that of %s is there twice", ErrCertificates, c.Subject)
		}
		held[Identify(c)] = c
		if bytes.Equal(c.RawIssuer, issuer) && c.SerialNumber.Cmp(serial) == 0 {
			s.Signer = c
		}
	}
	if s.Signer == nil {
		return fmt.Errorf("%w: the signer's is missing", ErrCertificates)
	}
	delete(held, Identify(s.Signer))
	for _, id := range identifiers {
		c := held[id]
		if c == nil {
			return fmt.Errorf("%w: that of entry %x is missing", ErrCertificates, id)
		}
		if err := checkTrusted(c); err != nil {
			return errors.Join(ErrCertificates, err)
		}
		delete(held, id)
		s.Certificates = append(s.Certificates, c)
	}
	for _, c := range held {
		return fmt.Errorf("%w: that of %s is not on the list, and would be imported with the others", ErrCertificates, c.Subject)
	}
	return nil
}
