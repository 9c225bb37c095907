package lint

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// CheckRequestForm is the finding of a request that cannot be taken apart.
const CheckRequestForm = "request-form"

// RequestInput is a certificate request (PKCS #10) taken apart.
type RequestInput struct {
	Version   int // 0
	Subject   []byte
	SPKI      []byte
	Algorithm []byte
	Signature []byte
	raw       []byte
}

// ExamineRequest is ExamineCertificate for a certificate request (RFC 2986,
// GM/T 0092-2020). Both forms of the algorithm's parameters are met in requests.
func ExamineRequest(der []byte) []Finding {
	r, err := parseRequest(der)
	if err != nil {
		return []Finding{{CheckRequestForm, SeverityError, err.Error()}}
	}
	return append(examine(derRules, document{raw: der}, KindRequest), examine(requestRules, r, KindRequest)...)
}

func parseRequest(der []byte) (*RequestInput, error) {
	s, err := splitSigned(der)
	if err != nil {
		return nil, err
	}
	r := &RequestInput{Algorithm: s.algorithm, Signature: s.signature, raw: der}
	tbs := s.tbs
	var attributes cryptobyte.String
	if !tbs.ReadASN1Integer(&r.Version) || !tbs.ReadASN1Element((*cryptobyte.String)(&r.Subject), cbasn1.SEQUENCE) ||
		!tbs.ReadASN1Element((*cryptobyte.String)(&r.SPKI), cbasn1.SEQUENCE) || !tbs.ReadASN1(&attributes, explicit(0)) || !tbs.Empty() {
		return nil, errors.New("is not version, subject, key, attributes")
	}
	return r, nil
}

var requestRules = []rule[*RequestInput]{
	{"request-version", SeverityError, KindRequest, "RFC 2986 §4.1", "version is 0", func(r *RequestInput) error {
		if r.Version != 0 {
			return errors.New("version is not 0")
		}
		return nil
	}},
	{"request-subject", SeverityError, KindRequest, "RFC 2986 §4.1, RFC 5280 §4.1.2.6", "subject is a name that Terrace can certify", func(r *RequestInput) error {
		return pki.CheckNameDER(r.Subject)
	}},
	{"request-key", SeverityError, KindRequest, "GM/T 0009-2012 §7.1, GM/T 0092-2020", "id-ecPublicKey on 1.2.156.10197.1.301, an uncompressed point of the curve", func(r *RequestInput) error {
		return pki.CheckSM2SPKI(r.SPKI)
	}},
	{"request-algorithm", SeverityError, KindRequest, "GM/T 0092-2020", "the algorithm is 1.2.156.10197.1.501, parameters absent or NULL", func(r *RequestInput) error {
		if !pki.IsSignatureAlgorithm(r.Algorithm) {
			return errors.New("signatureAlgorithm is not 1.2.156.10197.1.501")
		}
		return nil
	}},
	{"request-algorithm-null", SeverityNotice, KindRequest, "GM/T 0015-2023 (parameters empty; secondary)", "the algorithm's parameters are absent", func(r *RequestInput) error {
		if pki.IsSignatureAlgorithm(r.Algorithm) && !pki.IsWrittenSignatureAlgorithm(r.Algorithm) {
			return errors.New("signatureAlgorithm has NULL parameters")
		}
		return nil
	}},
	{"request-signature-form", SeverityError, KindRequest, "GM/T 0009-2012 §7.3", "the signature is SEQUENCE { r, s } of positive numbers of at most 256 bits", func(r *RequestInput) error {
		return signatureForm(r.Signature)
	}},
	{"request-signature-minimal", SeverityError, KindRequest, "GM/T 0009-2012 §7.3, X.690 §8.3.2", "r and s are in the fewest octets", func(r *RequestInput) error {
		return signatureMinimal(r.Signature)
	}},
	{"request-possession", SeverityError, KindRequest, "RFC 2986 §4.2, GM/T 0092-2020", "the signature proves possession of the key", func(r *RequestInput) error {
		if !pki.IsSignatureAlgorithm(r.Algorithm) || signatureForm(r.Signature) != nil {
			return nil
		}
		return signatureVerifies(r.raw, r.Signature, r.SPKI)
	}},
	{"request-bounds", SeverityWarning, KindRequest, "Terrace (what its RA reads)", "attributes and extensions are within what Terrace reads", func(r *RequestInput) error {
		if pki.CheckNameDER(r.Subject) != nil || pki.CheckSM2SPKI(r.SPKI) != nil || r.Version != 0 || !pki.IsSignatureAlgorithm(r.Algorithm) {
			return nil // said above
		}
		_, err := pki.ParseRequestDER(r.raw)
		return err
	}},
}
