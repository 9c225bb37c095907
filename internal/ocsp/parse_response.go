package ocsp

import (
	"bytes"
	encodingasn1 "encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// MaxResponse is the longest response in bytes that ParseResponse reads.
const MaxResponse = 64 << 10

// Response is a response whose signature was verified.
type Response struct {
	Status ResponseStatus
	// The rest is empty unless Status is Successful.
	ProducedAt time.Time
	Responses  []SingleResponse
	Nonce      []byte
	// Certificate is the responder's.
	Certificate *smx509.Certificate
}

// ParseResponse reads a response in the form that Respond writes: byKey, with
// the responder's certificate inside. It verifies that the issuer delegated
// OCSP signing to that certificate, that it is valid at the given time, and
// the signature. An error response is no error; it carries no signature.
//
// The caller compares the nonce, CertIDs and updates with what it asked for.
func ParseResponse(der []byte, issuer *smx509.Certificate, at time.Time) (*Response, error) {
	r, err := parseResponse(der, issuer, at)
	if err != nil {
		return nil, fmt.Errorf("parse OCSP response: %w", err)
	}
	return r, nil
}

func parseResponse(der []byte, issuer *smx509.Certificate, at time.Time) (*Response, error) {
	if issuer == nil {
		return nil, errors.New("certificate of the issuer is missing")
	}
	if len(der) > MaxResponse {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(der), MaxResponse)
	}
	in := cryptobyte.String(der)
	var outer, bytesField, seq, basic cryptobyte.String
	var status int
	var present bool
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1Enum(&status) ||
		!outer.ReadOptionalASN1(&bytesField, &present, tag0) || !outer.Empty() {
		return nil, errors.New("is no OCSPResponse in DER")
	}
	r := &Response{Status: ResponseStatus(status)}
	if r.Status != Successful {
		if _, known := responseStatusNames[r.Status]; !known || present {
			return nil, fmt.Errorf("responseStatus %d: is not known, or comes with responseBytes", status)
		}
		return r, nil
	}
	var oid encodingasn1.ObjectIdentifier
	if !present || !bytesField.ReadASN1(&seq, cbasn1.SEQUENCE) || !bytesField.Empty() || !seq.ReadASN1ObjectIdentifier(&oid) ||
		!oid.Equal(oidBasic) || !seq.ReadASN1(&basic, cbasn1.OCTET_STRING) || !seq.Empty() {
		return nil, errors.New("responseBytes are no id-pkix-ocsp-basic")
	}
	return r, r.readBasic(basic, issuer, at)
}

func (r *Response) readBasic(in cryptobyte.String, issuer *smx509.Certificate, at time.Time) error {
	var body, tbs, algorithm, wrapped, certs, raw cryptobyte.String
	var signature []byte
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() || !body.ReadASN1Element(&tbs, cbasn1.SEQUENCE) ||
		!body.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) || !body.ReadASN1BitStringAsBytes(&signature) {
		return errors.New("BasicOCSPResponse is malformed")
	}
	if !pki.IsSignatureAlgorithm(algorithm) {
		return errors.New("signatureAlgorithm is not 1.2.156.10197.1.501")
	}
	if !body.ReadASN1(&wrapped, tag0) || !body.Empty() || !wrapped.ReadASN1(&certs, cbasn1.SEQUENCE) || !wrapped.Empty() ||
		!certs.ReadASN1Element(&raw, cbasn1.SEQUENCE) || !certs.Empty() {
		return errors.New("certs do not hold exactly the responder's certificate")
	}
	cert, err := pki.ParseCertificate(raw)
	if err != nil {
		return fmt.Errorf("responder certificate: %w", err)
	}
	if err := checkDelegated(cert, issuer); err != nil {
		return err
	}
	if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
		return fmt.Errorf("responder certificate: is not valid at %s", at.UTC().Format(time.RFC3339))
	}
	public, err := pki.ParseSM2SPKI(cert.RawSubjectPublicKeyInfo)
	if err != nil {
		return fmt.Errorf("responder certificate: %w", err)
	}
	if !pki.VerifySignature(public, tbs, signature) {
		return errors.New("signature does not verify under the responder's key")
	}
	r.Certificate = cert
	return r.readData(tbs)
}

func (r *Response) readData(tbs cryptobyte.String) error {
	var body, id, keyID, list cryptobyte.String
	if !tbs.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1(&id, tag2) || !id.ReadASN1(&keyID, cbasn1.OCTET_STRING) || !id.Empty() {
		return errors.New("responderID is not byKey of a response of version 1")
	}
	if !bytes.Equal(keyID, pki.KeyID(r.Certificate.RawSubjectPublicKeyInfo)) {
		return errors.New("responderID is of another key than the certificate's")
	}
	if !body.ReadASN1GeneralizedTime(&r.ProducedAt) || !body.ReadASN1(&list, cbasn1.SEQUENCE) {
		return errors.New("producedAt or responses are malformed")
	}
	for !list.Empty() {
		if len(r.Responses) == MaxCertIDs {
			return fmt.Errorf("has more than %d responses", MaxCertIDs)
		}
		single, err := readSingle(&list)
		if err != nil {
			return fmt.Errorf("response %d: %w", len(r.Responses)+1, err)
		}
		r.Responses = append(r.Responses, single)
	}
	value, err := readExtensions(&body, tag1, oidNonce)
	if err != nil {
		return fmt.Errorf("responseExtensions: %w", err)
	}
	if value != nil {
		r.Nonce, err = readNonce(value)
	}
	return err
}

func readSingle(in *cryptobyte.String) (SingleResponse, error) {
	var s SingleResponse
	var body, status, next cryptobyte.String
	var tag cbasn1.Tag
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) {
		return s, errors.New("is no SEQUENCE")
	}
	var err error
	if s.CertID, err = readCertID(&body); err != nil {
		return s, fmt.Errorf("certID %w", err)
	}
	if !body.ReadAnyASN1(&status, &tag) {
		return s, errors.New("certStatus is missing")
	}
	switch {
	case tag == cbasn1.Tag(0).ContextSpecific() && status.Empty():
		s.State = Good
	case tag == cbasn1.Tag(2).ContextSpecific() && status.Empty():
		s.State = Unknown
	case tag == tag1:
		s.State = Revoked
		var wrapped cryptobyte.String
		var present bool
		var reason int
		if !status.ReadASN1GeneralizedTime(&s.RevokedAt) || !status.ReadOptionalASN1(&wrapped, &present, tag0) || !status.Empty() ||
			present && (!wrapped.ReadASN1Enum(&reason) || !wrapped.Empty()) {
			return s, errors.New("RevokedInfo is malformed")
		}
		s.Reason = pki.Reason(reason)
	default:
		return s, errors.New("certStatus is none of good, revoked, unknown")
	}
	if !body.ReadASN1GeneralizedTime(&s.ThisUpdate) || !body.ReadASN1(&next, tag0) || !next.ReadASN1GeneralizedTime(&s.NextUpdate) ||
		!next.Empty() || !body.Empty() {
		return s, errors.New("thisUpdate or nextUpdate is malformed")
	}
	return s, nil
}
