package ocsp

import (
	encodingasn1 "encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of a request.
const (
	// MaxRequest is the longest request in bytes.
	MaxRequest = 16 << 10
	// MaxCertIDs is the largest number of certificates in one request.
	MaxCertIDs = 32
	// MaxNonce is the longest nonce in octets (RFC 9654 §2.1; RFC 8954 had 32).
	MaxNonce = 128
	// maxExtensions of a request and of each certificate in it.
	maxExtensions = 16
)

var (
	oidNonce = encodingasn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidBasic = encodingasn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
)

var (
	tag0 = cbasn1.Tag(0).ContextSpecific().Constructed()
	tag1 = cbasn1.Tag(1).ContextSpecific().Constructed()
	tag2 = cbasn1.Tag(2).ContextSpecific().Constructed()
)

// Request is what an OCSP client asks.
type Request struct {
	// CertIDs in the order of the request, 1 to MaxCertIDs.
	CertIDs []CertID
	// Nonce is 1 to MaxNonce octets, nil when the request has none.
	Nonce []byte
}

// ParseRequest reads an OCSPRequest (RFC 6960 §4.1.1) in strict DER without
// bytes after it. The result shares memory with der.
//
// Every error means malformedRequest. Beside bad encoding these are: more than
// MaxRequest bytes or MaxCertIDs certificates; a nonce of no or more than
// MaxNonce octets, as RFC 9654 §2.1 demands; an extension that is critical and
// not the nonce, for RFC 6960 §4.4 lets unknown ones be ignored only when they
// are not critical, and the same request would fail for ever. Non-critical
// extensions, requestorName and the signature are checked for form and
// ignored: anybody may ask.
func ParseRequest(der []byte) (*Request, error) {
	r := &Request{}
	if err := r.parse(der); err != nil {
		return nil, fmt.Errorf("parse OCSP request: %w", err)
	}
	return r, nil
}

func (r *Request) parse(der []byte) error {
	if len(der) > MaxRequest {
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(der), MaxRequest)
	}
	in := cryptobyte.String(der)
	var outer, tbs cryptobyte.String
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) {
		return errors.New("is no SEQUENCE in DER")
	}
	if !in.Empty() {
		return errors.New("has bytes after its end")
	}
	if !outer.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return errors.New("tbsRequest is no SEQUENCE")
	}
	var signature, sequence cryptobyte.String
	var signed bool
	if !outer.ReadOptionalASN1(&signature, &signed, tag0) || !outer.Empty() {
		return errors.New("has an element that is no optionalSignature")
	}
	if signed && (!signature.ReadASN1(&sequence, cbasn1.SEQUENCE) || !signature.Empty()) {
		return errors.New("optionalSignature is no SEQUENCE")
	}
	return r.parseTBS(tbs)
}

func (r *Request) parseTBS(tbs cryptobyte.String) error {
	if tbs.PeekASN1Tag(tag0) {
		return errors.New("version: only v1 is known, which DER leaves out")
	}
	var name, list cryptobyte.String
	var named bool
	if !tbs.ReadOptionalASN1(&name, &named, tag1) || named && (!skipAny(&name) || !name.Empty()) {
		return errors.New("requestorName is no GeneralName")
	}
	if !tbs.ReadASN1(&list, cbasn1.SEQUENCE) {
		return errors.New("requestList is no SEQUENCE")
	}
	r.CertIDs = make([]CertID, 0, 1) // most have one
	for !list.Empty() {
		if len(r.CertIDs) == MaxCertIDs {
			return fmt.Errorf("requestList has more than %d certificates; ask for fewer at a time", MaxCertIDs)
		}
		var single cryptobyte.String
		if !list.ReadASN1(&single, cbasn1.SEQUENCE) {
			return fmt.Errorf("request %d is no SEQUENCE", len(r.CertIDs)+1)
		}
		id, err := readCertID(&single)
		if err != nil {
			return fmt.Errorf("request %d: reqCert %w", len(r.CertIDs)+1, err)
		}
		// Of singleRequestExtensions only serviceLocator is defined; it is for relays.
		if _, err := readExtensions(&single, tag0, nil); err != nil {
			return fmt.Errorf("request %d: singleRequestExtensions: %w", len(r.CertIDs)+1, err)
		}
		r.CertIDs = append(r.CertIDs, id)
	}
	if len(r.CertIDs) == 0 {
		return errors.New("requestList is empty")
	}
	value, err := readExtensions(&tbs, tag2, oidNonce)
	if err != nil {
		return fmt.Errorf("requestExtensions: %w", err)
	}
	if value != nil {
		if r.Nonce, err = readNonce(value); err != nil {
			return err
		}
	}
	return nil
}

// readExtensions reads the optional explicitly tagged Extensions that must end
// in, and returns the value of the known one, nil when it is not there.
func readExtensions(in *cryptobyte.String, tag cbasn1.Tag, known encodingasn1.ObjectIdentifier) (value []byte, err error) {
	var wrapped, list cryptobyte.String
	var present bool
	if !in.ReadOptionalASN1(&wrapped, &present, tag) || !in.Empty() {
		return nil, errors.New("something else stands in their place")
	}
	if !present {
		return nil, nil
	}
	if !wrapped.ReadASN1(&list, cbasn1.SEQUENCE) || !wrapped.Empty() || list.Empty() {
		return nil, errors.New("are no SEQUENCE of at least one")
	}
	for n := 1; !list.Empty(); n++ {
		if n > maxExtensions {
			return nil, fmt.Errorf("are more than %d", maxExtensions)
		}
		var ext, octets cryptobyte.String
		var oid encodingasn1.ObjectIdentifier
		var critical bool
		if !list.ReadASN1(&ext, cbasn1.SEQUENCE) || !ext.ReadASN1ObjectIdentifier(&oid) {
			return nil, fmt.Errorf("number %d is no Extension", n)
		}
		if ext.PeekASN1Tag(cbasn1.BOOLEAN) && (!ext.ReadASN1Boolean(&critical) || !critical) {
			return nil, fmt.Errorf("number %d: critical is not in DER", n)
		}
		if !ext.ReadASN1(&octets, cbasn1.OCTET_STRING) || !ext.Empty() {
			return nil, fmt.Errorf("number %d: extnValue is no OCTET STRING at the end", n)
		}
		switch {
		case known != nil && oid.Equal(known):
			if value != nil {
				return nil, fmt.Errorf("%v is there twice", oid)
			}
			value = append([]byte{}, octets...)
		case critical:
			return nil, fmt.Errorf("%v is critical and not known here", oid)
		}
	}
	return value, nil
}

func readNonce(value []byte) ([]byte, error) {
	in := cryptobyte.String(value)
	var nonce cryptobyte.String
	if !in.ReadASN1(&nonce, cbasn1.OCTET_STRING) || !in.Empty() {
		return nil, errors.New("nonce is no OCTET STRING")
	}
	if len(nonce) < 1 || len(nonce) > MaxNonce {
		return nil, fmt.Errorf("nonce has %d octets, want 1 to %d (RFC 9654 §2.1)", len(nonce), MaxNonce)
	}
	return nonce, nil
}

// MarshalRequest writes an unsigned OCSPRequest for ids, with a nonce unless it is nil.
func MarshalRequest(nonce []byte, ids ...CertID) ([]byte, error) {
	if len(ids) < 1 || len(ids) > MaxCertIDs {
		return nil, fmt.Errorf("marshal OCSP request: has %d certificates, want 1 to %d", len(ids), MaxCertIDs)
	}
	if nonce != nil && (len(nonce) < 1 || len(nonce) > MaxNonce) {
		return nil, fmt.Errorf("marshal OCSP request: nonce has %d octets, want 1 to %d", len(nonce), MaxNonce)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, id := range ids {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(id.Raw) })
				}
			})
			addNonce(b, tag2, nonce)
		})
	})
	return b.Bytes()
}

// addNonce writes Extensions with the nonce alone, or nothing without one.
func addNonce(b *cryptobyte.Builder, tag cbasn1.Tag, nonce []byte) {
	if nonce == nil {
		return
	}
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidNonce)
				b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nonce) })
			})
		})
	})
}
