package ocsp

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Authority is one CA key generation that a responder answers for, with the
// certificate that it issued to the responder. Values may be used concurrently.
type Authority struct {
	key         IssuerKey
	issuer      *Issuer
	certificate *smx509.Certificate
	fingerprint [32]byte
	keyID       []byte
	signer      crypto.MessageSigner
	verifier    *pki.Verifier
}

// NewAuthority checks that the certificate was issued by the CA for OCSP
// signing (RFC 6960 §4.2.2.2) and that the signer has its key. Dates are
// checked when a response is signed.
func NewAuthority(key IssuerKey, ca, certificate *smx509.Certificate, signer crypto.MessageSigner) (*Authority, error) {
	a, err := newAuthority(key, ca, certificate, signer)
	if err != nil {
		return nil, fmt.Errorf("OCSP responder for %s, key generation %d: %w", key.Authority, key.Generation, err)
	}
	return a, nil
}

func newAuthority(key IssuerKey, ca, certificate *smx509.Certificate, signer crypto.MessageSigner) (*Authority, error) {
	if ca == nil || certificate == nil || signer == nil {
		return nil, errors.New("CA certificate, responder certificate and signer are needed")
	}
	issuer, err := NewIssuer(ca)
	if err != nil {
		return nil, err
	}
	if err := checkDelegated(certificate, ca); err != nil {
		return nil, err
	}
	public, err := pki.SignerPublicKey(signer)
	if err != nil {
		return nil, err
	}
	certified, err := pki.ParseSM2SPKI(certificate.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, fmt.Errorf("responder certificate: %w", err)
	}
	if !public.Equal(certified) {
		return nil, errors.New("responder certificate: is for another key than the signer's; issue one for the responder's key")
	}
	verifier, err := pki.NewVerifier(certified)
	if err != nil {
		return nil, err
	}
	return &Authority{key: key, issuer: issuer, certificate: certificate, fingerprint: sha256.Sum256(certificate.Raw),
		keyID: pki.KeyID(certificate.RawSubjectPublicKeyInfo), signer: signer, verifier: verifier}, nil
}

// checkDelegated says whether the CA itself delegated OCSP signing to the
// holder of certificate.
func checkDelegated(certificate, ca *smx509.Certificate) error {
	caKey, err := pki.ParseSM2SPKI(ca.RawSubjectPublicKeyInfo)
	if err != nil {
		return fmt.Errorf("CA certificate: %w", err)
	}
	switch {
	case !bytes.Equal(certificate.RawIssuer, ca.RawSubject):
		return errors.New("responder certificate: its issuer is not the subject of the CA certificate")
	case !pki.VerifySignature(caKey, certificate.RawTBSCertificate, certificate.Signature):
		return errors.New("responder certificate: its signature does not verify under the CA's key")
	case !slices.Contains(certificate.ExtKeyUsage, smx509.ExtKeyUsageOCSPSigning):
		return errors.New("responder certificate: extendedKeyUsage has no id-kp-OCSPSigning")
	}
	return nil
}
