// Package issuance builds certificates and has them signed, in two steps with
// room between them to record the intent: Prepare builds and lints, Issue
// redeems the token once.
package issuance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/lint"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Order is what one certificate is to be.
type Order struct {
	// Profile was validated by its maker and is validated again.
	Profile pki.Profile
	Subject pki.Name
	// PublicKey is an SM2 key whose possession, or whose origin, was proved.
	PublicKey       *ecdsa.PublicKey
	SubjectAltNames pki.SubjectAltNames
	// Identity holds values by the name of the profile's identity extension.
	Identity map[string]string
	// Serial was reserved in the ledger for this order.
	Serial pki.Serial
	// Issuer is the certificate of the signing CA, whose subject and key
	// identifier go raw into the new one. Nil: a self-signed CA.
	Issuer     *smx509.Certificate
	IssuerURLs pki.URLs
	Now        time.Time
}

// LintError says which checks a certificate failed that was about to be signed.
type LintError struct {
	Findings []lint.Finding
}

func (e *LintError) Error() string {
	return "prepare certificate: " + (&lint.Error{What: "certificate", Findings: e.Findings}).Error()
}

// Token is a certificate that was built and linted and may be signed once.
// It is safe for concurrent use.
type Token struct {
	tbs      []byte // never handed out, only copies
	serial   pki.Serial
	notAfter time.Time
	issuer   *pki.Verifier
	redeemed atomic.Bool
}

// ErrRedeemed: the token was used before; what it was used for may have been signed.
var ErrRedeemed = errors.New("token was redeemed before")

// Prepare builds the certificate of an order (RFC 5280 §4, GM/T 0015) and lints
// a copy of it under a signature of nobody. It returns *LintError when a check
// fails. Nothing is signed. For many orders use a Preparer.
//
// notBefore is Now less the profile's backdate but not before the issuer's;
// notAfter is Now plus the validity but not after the issuer's, both in whole seconds.
func Prepare(o Order) (*Token, error) { return new(Preparer).Prepare(o) }

func (p *plan) prepare(o Order) (*Token, error) {
	c, err := p.content(o)
	if err != nil {
		return nil, err
	}
	tbs, err := c.marshal()
	if err != nil {
		return nil, err
	}
	der, err := pki.AssembleSigned(tbs, lint.NobodysSignature())
	if err != nil {
		return nil, err
	}
	if findings := lint.Certificate(der, lint.Context{Issuer: p.issuer, Identity: p.profile.IdentityExtensions}); len(findings) > 0 {
		return nil, &LintError{Findings: findings}
	}
	if err := c.parses(der); err != nil {
		return nil, err
	}
	issuer, err := p.issuerOf(o.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Token{tbs: tbs, serial: o.Serial, notAfter: c.notAfter, issuer: issuer}, nil
}

// parses has what package smx509 refuses and the linter does not found before
// anything is signed: URIs with a host that is no domain name, and names that
// kept the bytes of a request in odd string types, which only profiles without
// subject rules let through. Of everything else the linter has read each field,
// more strictly; the fuzz test holds it to that.
func (c *content) parses(der []byte) error {
	if !c.strict && len(c.SubjectAltNames.URI) == 0 {
		return nil
	}
	if _, err := pki.ParseCertificate(der); err != nil {
		return fmt.Errorf("parse the result: %w", err)
	}
	return nil
}

// TBS is the TBSCertificate that Issue signs.
func (t *Token) TBS() []byte { return append([]byte(nil), t.tbs...) }

// NotAfter is the end of the certificate's validity.
func (t *Token) NotAfter() time.Time { return t.notAfter }

// Serial is the certificate's serial number.
func (t *Token) Serial() pki.Serial { return t.serial }

// Issue has the signer sign the token's certificate and returns its DER. The
// signature is verified under the issuer's key, and the signed bytes are
// compared with what was linted.
//
// A signer with another key than the issuer's is refused and leaves the token
// as it was. From then on the token is spent, also when signing fails: an error
// does not prove that the device signed nothing. A second call returns ErrRedeemed.
func Issue(signer crypto.MessageSigner, t *Token) ([]byte, error) {
	pub, err := pki.SignerPublicKey(signer)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	if !t.issuer.IsFor(pub) {
		return nil, errors.New("issue certificate: the signer's key is not the key of the issuer certificate; configure the CA with the key that its certificate was issued for")
	}
	if !t.redeemed.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("issue certificate %s: %w", t.serial, ErrRedeemed)
	}
	// The signer gets a copy, so that the comparison below is with bytes that
	// it never held.
	der, err := t.issuer.Sign(signer, t.TBS())
	if err != nil {
		return nil, fmt.Errorf("issue certificate %s: %w", t.serial, err)
	}
	if !bytes.Equal(signedPart(der), t.tbs) {
		return nil, fmt.Errorf("issue certificate %s: what was signed is not what was linted", t.serial)
	}
	return der, nil
}

// signedPart is the first element of a certificate, its TBSCertificate.
func signedPart(der []byte) []byte {
	in := cryptobyte.String(der)
	var outer, tbs cryptobyte.String
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1Element(&tbs, cbasn1.SEQUENCE) {
		return nil
	}
	return tbs
}
