package lint

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Bounds of a response that is linted.
const (
	maxSingleResponses = 1024
	maxResponderCerts  = 8
)

// ResponseInput is an OCSP response (RFC 6960 §4.2.1) taken apart and not judged.
type ResponseInput struct {
	Context
	Status int
	// Basic is false without responseBytes; then all below is empty.
	Basic        bool
	Type         string
	VersionThere bool // written out, which DER forbids for v1
	ByKey        []byte
	ByName       []byte
	ProducedAt   stamp
	Singles      []singleResponse
	Extensions   []Extension
	Algorithm    []byte
	Signature    []byte
	Certs        [][]byte

	tbs []byte
	raw []byte
}

type singleResponse struct {
	hash                   string
	state                  cbasn1.Tag // 0 good, 1 revoked, 2 unknown, of the context
	revokedAt              stamp
	reason                 int // -1: none
	thisUpdate, nextUpdate stamp
	extensions             []Extension
}

func parseResponse(der []byte, ctx Context) (*ResponseInput, error) {
	r := &ResponseInput{Context: ctx, raw: der}
	in := cryptobyte.String(der)
	var outer, wrapped, seq, basic cryptobyte.String
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1Enum(&r.Status) ||
		!outer.ReadOptionalASN1(&wrapped, &r.Basic, explicit(0)) || !outer.Empty() {
		return nil, errors.New("is no OCSPResponse")
	}
	if !r.Basic {
		return r, nil
	}
	var ok bool
	if !wrapped.ReadASN1(&seq, cbasn1.SEQUENCE) || !wrapped.Empty() {
		return nil, errors.New("responseBytes are malformed")
	}
	if r.Type, ok = pki.ReadOID(&seq); !ok || !seq.ReadASN1(&basic, cbasn1.OCTET_STRING) || !seq.Empty() {
		return nil, errors.New("responseBytes are malformed")
	}
	return r, r.readBasic(basic)
}

func (r *ResponseInput) readBasic(in cryptobyte.String) error {
	var body, tbs, sig, wrapped, certs cryptobyte.String
	var there bool
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !in.Empty() || !body.ReadASN1Element(&tbs, cbasn1.SEQUENCE) ||
		!body.ReadASN1Element((*cryptobyte.String)(&r.Algorithm), cbasn1.SEQUENCE) || !body.ReadASN1(&sig, cbasn1.BIT_STRING) ||
		len(sig) == 0 || sig[0] != 0 || !body.ReadOptionalASN1(&wrapped, &there, explicit(0)) || !body.Empty() {
		return errors.New("BasicOCSPResponse is malformed")
	}
	r.tbs, r.Signature = tbs, sig[1:]
	if there && (!wrapped.ReadASN1(&certs, cbasn1.SEQUENCE) || !wrapped.Empty()) {
		return errors.New("certs are malformed")
	}
	for !certs.Empty() {
		var cert cryptobyte.String
		if len(r.Certs) == maxResponderCerts || !certs.ReadASN1Element(&cert, cbasn1.SEQUENCE) {
			return fmt.Errorf("certs are malformed, or more than %d", maxResponderCerts)
		}
		r.Certs = append(r.Certs, cert)
	}
	return r.readData(tbs)
}

// readData reads ResponseData.
func (r *ResponseInput) readData(tbs cryptobyte.String) error {
	var data, version, id, list cryptobyte.String
	if !tbs.ReadASN1(&data, cbasn1.SEQUENCE) || !data.ReadOptionalASN1(&version, &r.VersionThere, explicit(0)) {
		return errors.New("ResponseData is malformed")
	}
	switch {
	case data.PeekASN1Tag(explicit(1)):
		if !data.ReadASN1(&id, explicit(1)) || !id.ReadASN1Element((*cryptobyte.String)(&r.ByName), cbasn1.SEQUENCE) || !id.Empty() {
			return errors.New("responderID is malformed")
		}
	default:
		if !data.ReadASN1(&id, explicit(2)) || !id.ReadASN1((*cryptobyte.String)(&r.ByKey), cbasn1.OCTET_STRING) || !id.Empty() {
			return errors.New("responderID is malformed")
		}
	}
	if !readStamp(&data, &r.ProducedAt) || !data.ReadASN1(&list, cbasn1.SEQUENCE) {
		return errors.New("producedAt or responses are malformed")
	}
	for !list.Empty() {
		if len(r.Singles) == maxSingleResponses {
			return fmt.Errorf("has more than %d responses", maxSingleResponses)
		}
		s, err := readSingleResponse(&list)
		if err != nil {
			return fmt.Errorf("response %d: %w", len(r.Singles)+1, err)
		}
		r.Singles = append(r.Singles, s)
	}
	var err error
	if r.Extensions, err = readExtensions(&data, explicit(1)); err == nil && !data.Empty() {
		err = errors.New("ResponseData has fields after the extensions")
	}
	return err
}

func readSingleResponse(in *cryptobyte.String) (singleResponse, error) {
	s := singleResponse{reason: -1}
	var body, id, hash, status, next cryptobyte.String
	var there, ok bool
	if !in.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1(&id, cbasn1.SEQUENCE) || !id.ReadASN1(&hash, cbasn1.SEQUENCE) {
		return s, errors.New("certID is malformed")
	}
	if s.hash, ok = pki.ReadOID(&hash); !ok || !body.ReadAnyASN1(&status, &s.state) {
		return s, errors.New("certID or certStatus is malformed")
	}
	switch s.state {
	case cbasn1.Tag(0).ContextSpecific(), cbasn1.Tag(2).ContextSpecific():
	case explicit(1):
		var wrapped cryptobyte.String
		if !readStamp(&status, &s.revokedAt) || !status.ReadOptionalASN1(&wrapped, &there, explicit(0)) || !status.Empty() ||
			there && (!wrapped.ReadASN1Enum(&s.reason) || !wrapped.Empty()) {
			return s, errors.New("RevokedInfo is malformed")
		}
	default:
		return s, errors.New("certStatus is none of good, revoked, unknown")
	}
	if !readStamp(&body, &s.thisUpdate) || !body.ReadOptionalASN1(&next, &there, explicit(0)) ||
		there && (!readStamp(&next, &s.nextUpdate) || !next.Empty()) {
		return s, errors.New("thisUpdate or nextUpdate is malformed")
	}
	var err error
	if s.extensions, err = readExtensions(&body, explicit(1)); err == nil && !body.Empty() {
		err = errors.New("has fields after the extensions")
	}
	return s, err
}
