package ocsp

import (
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// ResponseStatus is the OCSPResponseStatus of RFC 6960 §4.2.1.
type ResponseStatus int

// Response statuses.
const (
	Successful       ResponseStatus = 0
	MalformedRequest ResponseStatus = 1
	InternalError    ResponseStatus = 2
	TryLater         ResponseStatus = 3
	SigRequired      ResponseStatus = 5 // never sent here
	Unauthorized     ResponseStatus = 6
)

var responseStatusNames = map[ResponseStatus]string{
	Successful: "successful", MalformedRequest: "malformedRequest", InternalError: "internalError",
	TryLater: "tryLater", SigRequired: "sigRequired", Unauthorized: "unauthorized",
}

// String is the name in RFC 6960.
func (s ResponseStatus) String() string {
	if n, ok := responseStatusNames[s]; ok {
		return n
	}
	return fmt.Sprintf("responseStatus(%d)", int(s))
}

// ErrorResponse is an OCSPResponse without responseBytes, which is not signed
// (RFC 6960 §2.3). status is not Successful.
func ErrorResponse(status ResponseStatus) []byte {
	// ENUMERATED below 128: the only form.
	return []byte{byte(cbasn1.SEQUENCE), 3, byte(cbasn1.ENUM), 1, byte(status)}
}

// SingleResponse is the answer for one certificate.
type SingleResponse struct {
	CertID CertID
	Status
	// ThisUpdate is when the status was known to be right, NextUpdate when newer
	// information will be there at the latest; whole seconds.
	ThisUpdate, NextUpdate time.Time
}

// responseData is what a responder signs (RFC 6960 §4.2.1).
type responseData struct {
	keyID      []byte // of the responder's key: ResponderID byKey
	producedAt time.Time
	responses  []SingleResponse
	nonce      []byte
}

func (d responseData) marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 128+192*len(d.responses)+len(d.nonce)))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tag2, func(b *cryptobyte.Builder) { b.AddASN1OctetString(d.keyID) })
		addTime(b, d.producedAt)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, r := range d.responses {
				r.add(b)
			}
		})
		addNonce(b, tag1, d.nonce)
	})
	return b.Bytes()
}

func (r SingleResponse) add(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(r.CertID.Raw)
		switch r.State {
		case Good: // [0] IMPLICIT NULL
			b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(*cryptobyte.Builder) {})
		case Revoked:
			b.AddASN1(tag1, func(b *cryptobyte.Builder) {
				addTime(b, r.RevokedAt)
				// unspecified is said by silence, as in a CRL (RFC 5280 §5.3.1).
				if r.Reason != pki.ReasonUnspecified && r.Reason.OnCRL() {
					b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(r.Reason)) })
				}
			})
		default: // [2] IMPLICIT NULL
			b.AddASN1(cbasn1.Tag(2).ContextSpecific(), func(*cryptobyte.Builder) {})
		}
		addTime(b, r.ThisUpdate)
		b.AddASN1(tag0, func(b *cryptobyte.Builder) { addTime(b, r.NextUpdate) })
	})
}

// addTime writes a GeneralizedTime in whole seconds.
func addTime(b *cryptobyte.Builder, t time.Time) {
	b.AddASN1GeneralizedTime(t.UTC().Truncate(time.Second))
}

// assemble writes an OCSPResponse around a signed BasicOCSPResponse.
func assemble(tbs, signature, certificate []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(signature)+len(certificate)+96))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(int64(Successful))
		b.AddASN1(tag0, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidBasic)
				b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(tbs)
						b.AddBytes(pki.SignatureAlgorithmDER())
						b.AddASN1BitString(signature)
						b.AddASN1(tag0, func(b *cryptobyte.Builder) {
							b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(certificate) })
						})
					})
				})
			})
		})
	})
	return b.Bytes()
}
