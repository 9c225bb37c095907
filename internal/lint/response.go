package lint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	oidOCSPBasic = "1.3.6.1.5.5.7.48.1.1"
	oidOCSPNonce = "1.3.6.1.5.5.7.48.1.2"
	maxNonce     = 128 // octets, RFC 9654 §2.1
)

// CheckResponseForm is the finding of a response that cannot be taken apart.
const CheckResponseForm = "ocsp-response-form"

// ExamineResponse is ExamineCertificate for an OCSP response. Issuer is the CA
// that the responder answers for. What the certificates in it break is found
// by ExamineCertificate.
func ExamineResponse(der []byte, ctx Context) []Finding {
	r, err := parseResponse(der, ctx)
	if err != nil {
		return []Finding{{CheckResponseForm, SeverityError, err.Error()}}
	}
	inside := slices.Clone(r.Extensions)
	if r.Basic { // it stands in an OCTET STRING, as the values of extensions do
		inside = append(inside, Extension{OID: oidOCSPBasic, Value: r.tbs})
	}
	findings := examine(derRules, document{der, inside}, KindOCSPResponse)
	return append(findings, examine(responseRules, r, KindOCSPResponse)...)
}

// ResponseCertificates returns the certificates that a response carries.
func ResponseCertificates(der []byte) [][]byte {
	r, err := parseResponse(der, Context{})
	if err != nil {
		return nil
	}
	return r.Certs
}

func responseRule(name string, severity Severity, source, demands string, f func(r *ResponseInput) error) rule[*ResponseInput] {
	return rule[*ResponseInput]{name, severity, KindOCSPResponse, source, demands, f}
}

// basicRule is for responses that answer.
func basicRule(name string, severity Severity, source, demands string, f func(r *ResponseInput) error) rule[*ResponseInput] {
	return responseRule(name, severity, source, demands, func(r *ResponseInput) error {
		if !r.Basic || r.Type != oidOCSPBasic {
			return nil
		}
		return f(r)
	})
}

func singleRule(name string, severity Severity, source, demands string, f func(r *ResponseInput, s singleResponse) error) rule[*ResponseInput] {
	return basicRule(name, severity, source, demands, func(r *ResponseInput) error {
		for i, s := range r.Singles {
			if err := f(r, s); err != nil {
				return fmt.Errorf("response %d: %w", i+1, err)
			}
		}
		return nil
	})
}

var responseRules = []rule[*ResponseInput]{
	responseRule("ocsp-response-status", SeverityError, "RFC 6960 §4.2.1", "responseStatus is 0, 1, 2, 3, 5 or 6", func(r *ResponseInput) error {
		if r.Status < 0 || r.Status > 6 || r.Status == 4 {
			return fmt.Errorf("responseStatus is %d", r.Status)
		}
		return nil
	}),
	responseRule("ocsp-response-bytes", SeverityError, "RFC 6960 §4.2.1", "responseBytes are there when, and only when, the status is successful", func(r *ResponseInput) error {
		if r.Basic != (r.Status == 0) {
			return errors.New("responseBytes and responseStatus do not fit")
		}
		return nil
	}),
	responseRule("ocsp-response-type", SeverityError, "RFC 6960 §4.2.1", "the type is id-pkix-ocsp-basic", func(r *ResponseInput) error {
		if r.Basic && r.Type != oidOCSPBasic {
			return fmt.Errorf("responseType is %s", r.Type)
		}
		return nil
	}),
	basicRule("ocsp-response-version", SeverityError, "X.690 §11.5, RFC 6960 §4.2.1", "version v1 is left out, as a default is in DER", func(r *ResponseInput) error {
		if r.VersionThere {
			return errors.New("version is written out")
		}
		return nil
	}),
	basicRule("ocsp-response-algorithm", SeverityError, "GM/T 0015, GB/T 33560-2017 Annex A", "the algorithm is 1.2.156.10197.1.501, parameters absent", func(r *ResponseInput) error {
		return algorithmSM2(r.Algorithm)
	}),
	basicRule("ocsp-response-singles", SeverityError, "RFC 6960 §4.2.2.3", "there is an answer for at least one certificate", func(r *ResponseInput) error {
		if len(r.Singles) == 0 {
			return errors.New("has no responses")
		}
		return nil
	}),
	basicRule("ocsp-response-produced-at", SeverityError, "RFC 6960 §4.2.2.1, RFC 5280 §4.1.2.5.2", "producedAt is a GeneralizedTime in whole seconds with Z", func(r *ResponseInput) error {
		return named("producedAt", generalizedTime(r.ProducedAt))
	}),
	singleRule("ocsp-single-times", SeverityError, "RFC 6960 §4.2.2.1, RFC 5280 §4.1.2.5.2", "thisUpdate, nextUpdate and revocationTime are GeneralizedTime in whole seconds with Z", func(_ *ResponseInput, s singleResponse) error {
		return errors.Join(named("thisUpdate", generalizedTime(s.thisUpdate)), named("nextUpdate", optionalTime(s.nextUpdate)), named("revocationTime", optionalTime(s.revokedAt)))
	}),
	singleRule("ocsp-single-order", SeverityError, "RFC 6960 §2.4", "thisUpdate is before nextUpdate", func(_ *ResponseInput, s singleResponse) error {
		this, next := s.thisUpdate.moment(), s.nextUpdate.moment()
		if this.err == nil && next.err == nil && !this.Before(next.Time) {
			return errors.New("thisUpdate is not before nextUpdate")
		}
		return nil
	}),
	singleRule("ocsp-single-next-update", SeverityNotice, "RFC 6960 §2.4 (optional; without it nothing may be cached)", "nextUpdate is there", func(_ *ResponseInput, s singleResponse) error {
		if s.nextUpdate.tag == 0 {
			return errors.New("has no nextUpdate")
		}
		return nil
	}),
	singleRule("ocsp-single-not-later", SeverityError, "RFC 6960 §2.4, §4.2.2.1", "thisUpdate is not after producedAt", func(r *ResponseInput, s singleResponse) error {
		this, at := s.thisUpdate.moment(), r.ProducedAt.moment()
		if this.err == nil && at.err == nil && this.After(at.Time) {
			return errors.New("thisUpdate is after producedAt")
		}
		return nil
	}),
	singleRule("ocsp-single-hash", SeverityWarning, "RFC 6960 §4.1.1, GB/T 33560-2017 Annex A (what clients use)", "certID is by SM3, SHA-1 or SHA-256", func(_ *ResponseInput, s singleResponse) error {
		if !slices.Contains([]string{"1.2.156.10197.1.401", "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.1"}, s.hash) {
			return fmt.Errorf("certID is by %s", s.hash)
		}
		return nil
	}),
	singleRule("ocsp-single-reason", SeverityError, "RFC 5280 §5.3.1, RFC 6960 §4.2.1", "revocationReason is 1 to 10, and not 7 or 8", func(_ *ResponseInput, s singleResponse) error {
		if s.reason == reasonUnspecified || s.reason == reasonUnused || s.reason == reasonRemoveFromCRL || s.reason > reasonLast {
			return fmt.Errorf("revocationReason is %d", s.reason)
		}
		return nil
	}),
	singleRule("ocsp-single-critical", SeverityWarning, "RFC 6960 §4.4 (SHOULD NOT)", "singleExtensions are not critical", func(_ *ResponseInput, s singleResponse) error {
		for _, e := range s.extensions {
			if e.Critical {
				return fmt.Errorf("extension %s is critical", e.OID)
			}
		}
		return nil
	}),
	basicRule("ocsp-response-extensions", SeverityWarning, "RFC 6960 §4.4 (SHOULD NOT), RFC 5280 §4.2", "responseExtensions are there once each, and not critical", func(r *ResponseInput) error {
		for _, e := range r.Extensions {
			if e.Critical {
				return fmt.Errorf("extension %s is critical", e.OID)
			}
		}
		return noDuplicates(r.Extensions)
	}),
	basicRule("ocsp-response-nonce", SeverityError, "RFC 9654 §2.1", "the nonce is an OCTET STRING of 1 to 128 octets", func(r *ResponseInput) error {
		e, ok := find(r.Extensions, oidOCSPNonce)
		in := cryptobyte.String(e.Value)
		var nonce cryptobyte.String
		if ok && (!in.ReadASN1(&nonce, cbasn1.OCTET_STRING) || !in.Empty() || len(nonce) == 0 || len(nonce) > maxNonce) {
			return errors.New("nonce is not an OCTET STRING of 1 to 128 octets")
		}
		return nil
	}),
	basicRule("ocsp-response-signature-form", SeverityError, "GM/T 0009-2012 §7.3", "the signature is SEQUENCE { r, s } of numbers below the order of the curve", func(r *ResponseInput) error {
		return errors.Join(signatureForm(r.Signature), signatureInRange(r.Signature))
	}),
	basicRule("ocsp-response-signature-minimal", SeverityError, "GM/T 0009-2012 §7.3, X.690 §8.3.2", "r and s are in the fewest octets", func(r *ResponseInput) error {
		return signatureMinimal(r.Signature)
	}),
	basicRule("ocsp-response-signer", SeverityError, "RFC 6960 §4.2.1, §4.2.2.3", "responderID is the CA, or a certificate that comes with it", func(r *ResponseInput) error {
		if r.signer() == nil && (len(r.Certs) > 0 || r.Issuer != nil) {
			return errors.New("responderID fits neither the certificates in the response nor the CA")
		}
		return nil
	}),
	basicRule("ocsp-response-signature-verifies", SeverityError, "RFC 6960 §3.2, GM/T 0009-2012 §10", "the signature verifies under the responder's key, when that is known", func(r *ResponseInput) error {
		spki := r.signer()
		if spki == nil || !pki.IsSignatureAlgorithm(r.Algorithm) {
			return nil
		}
		return verifySignature(r.tbs, r.Signature, spki)
	}),
	basicRule("ocsp-response-delegation", SeverityError, "RFC 6960 §4.2.2.2", "the responder's certificate was signed by the CA itself", func(r *ResponseInput) error {
		if r.Issuer == nil {
			return nil
		}
		for _, der := range r.Certs {
			c, err := parseCertificate(der, Context{})
			if err != nil || !r.isSigner(c.SPKI, c.SubjectDER) {
				continue
			}
			if !bytes.Equal(c.IssuerDER, r.Issuer.RawSubject) || signatureVerifies(der, c.Signature, r.Issuer.RawSubjectPublicKeyInfo) != nil {
				return errors.New("the responder's certificate is not of the CA that it answers for")
			}
		}
		return nil
	}),
}

func generalizedTime(s stamp) error {
	if s.tag != cbasn1.GeneralizedTime {
		return errors.New("is not GeneralizedTime")
	}
	return s.moment().err
}

func optionalTime(s stamp) error {
	if s.tag == 0 {
		return nil
	}
	return generalizedTime(s)
}

func (r *ResponseInput) isSigner(spki, subject []byte) bool {
	if r.ByName != nil {
		return bytes.Equal(r.ByName, subject)
	}
	return bytes.Equal(r.ByKey, pki.KeyID(spki))
}

// signer is the key of whom responderID names, nil when it is not known.
func (r *ResponseInput) signer() []byte {
	for _, der := range r.Certs {
		if c, err := parseCertificate(der, Context{}); err == nil && r.isSigner(c.SPKI, c.SubjectDER) {
			return c.SPKI
		}
	}
	if r.Issuer != nil && r.isSigner(r.Issuer.RawSubjectPublicKeyInfo, r.Issuer.RawSubject) {
		return r.Issuer.RawSubjectPublicKeyInfo
	}
	return nil
}
