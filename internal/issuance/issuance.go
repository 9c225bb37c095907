// Package issuance builds certificates and has them signed, in two steps with
// room between them to record the intent: Prepare builds and lints, Issue
// redeems the token once.
package issuance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/lint"
	"github.com/terrace-pki/terrace/internal/pki"
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
	tbs       []byte
	serial    pki.Serial
	notAfter  time.Time
	issuerKey *ecdsa.PublicKey
	redeemed  atomic.Bool
}

// ErrRedeemed: the token was used before; what it was used for may have been signed.
var ErrRedeemed = errors.New("token was redeemed before")

// Prepare builds the certificate of an order (RFC 5280 §4, GM/T 0015) and
// lints a copy of it that a throw-away SM2 key signed. It returns *LintError
// when a check fails. Nothing is signed with the issuer's key.
//
// notBefore is Now less the profile's backdate but not before the issuer's;
// notAfter is Now plus the validity but not after the issuer's, both in whole seconds.
func Prepare(o Order) (*Token, error) {
	t, err := prepare(o)
	if err != nil {
		var found *LintError
		if errors.As(err, &found) {
			return nil, err
		}
		return nil, fmt.Errorf("prepare certificate: %w", err)
	}
	return t, nil
}

func prepare(o Order) (*Token, error) {
	c, err := newContent(o)
	if err != nil {
		return nil, err
	}
	tbs, err := c.marshal()
	if err != nil {
		return nil, err
	}
	throwAway, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make throw-away key: %w", err)
	}
	sig, err := throwAway.SignMessage(rand.Reader, tbs, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return nil, fmt.Errorf("sign copy with throw-away key: %w", err)
	}
	der, err := pki.AssembleSigned(tbs, sig)
	if err != nil {
		return nil, err
	}
	if findings := lint.Certificate(der, lint.Context{Issuer: o.Issuer, Identity: o.Profile.IdentityExtensions}); len(findings) > 0 {
		return nil, &LintError{Findings: findings}
	}
	return &Token{tbs: tbs, serial: o.Serial, notAfter: c.notAfter, issuerKey: c.issuerKey}, nil
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
	if !pub.Equal(t.issuerKey) {
		return nil, errors.New("issue certificate: the signer's key is not the key of the issuer certificate; configure the CA with the key that its certificate was issued for")
	}
	if !t.redeemed.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("issue certificate %s: %w", t.serial, ErrRedeemed)
	}
	// Sign verifies under pub, which is the issuer's key.
	der, err := pki.Sign(signer, t.tbs)
	if err != nil {
		return nil, fmt.Errorf("issue certificate %s: %w", t.serial, err)
	}
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issue certificate %s: parse the result: %w", t.serial, err)
	}
	// Nothing between here and Prepare should be able to change the bytes; this
	// is the last place where it would be seen if something did.
	if !bytes.Equal(cert.RawTBSCertificate, t.tbs) {
		return nil, fmt.Errorf("issue certificate %s: what was signed is not what was linted", t.serial)
	}
	return der, nil
}
