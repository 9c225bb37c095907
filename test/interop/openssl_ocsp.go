package interop

import (
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"slices"
	"strings"
)

// hashes are those of a CertID that Terrace must answer.
var hashes = []string{"sha1", "sha256", "sm3"}

// OCSPRequest has OpenSSL make a DER request for a certificate, both PEM. hash
// is that of the CertID: sha1, sha256 or sm3.
func OCSPRequest(issuerPEM, certPEM []byte, hash string, nonce bool) ([]byte, error) {
	return ocspRequest(map[string][]byte{"issuer.pem": issuerPEM, "cert.pem": certPEM}, hash, nonce, "-cert", "cert.pem")
}

// OCSPRequestForSerial is OCSPRequest for a serial number that perhaps no
// certificate has.
func OCSPRequestForSerial(issuerPEM []byte, serial *big.Int, hash string, nonce bool) ([]byte, error) {
	return ocspRequest(map[string][]byte{"issuer.pem": issuerPEM}, hash, nonce, "-serial", fmt.Sprintf("0x%X", serial))
}

func ocspRequest(files map[string][]byte, hash string, nonce bool, subject ...string) ([]byte, error) {
	if !slices.Contains(hashes, hash) {
		return nil, fmt.Errorf("make OCSP request: hash %q, want one of %s", hash, strings.Join(hashes, ", "))
	}
	w, err := newWorkspace(files)
	if err != nil {
		return nil, err
	}
	defer w.remove()
	nonceOption := "-nonce"
	if !nonce {
		nonceOption = "-no_nonce"
	}
	// The hash must stand before the certificate that it is used for.
	args := append([]string{"ocsp", "-" + hash, "-issuer", "issuer.pem"}, subject...)
	if _, err := w.openssl(append(args, nonceOption, "-reqout", "req.der")...); err != nil {
		return nil, fmt.Errorf("make OCSP request: %w", err)
	}
	return os.ReadFile(w.path("req.der"))
}

var (
	basicResponseOffset = regexp.MustCompile(`(?m)^ *(\d+):d=3 .*prim: OCTET STRING`)
	certificateStatus   = regexp.MustCompile(`(?m)^cert\.pem: (good|revoked|unknown)$`)
)

// VerifyOCSP has OpenSSL judge a DER response about a certificate: the
// responder's certificate in it is the issuer's and for OCSP signing, it signed
// the response, the answer is current. hash is that of the request's CertID.
// It returns good, revoked or unknown. The nonce is left to BouncyCastle.
func VerifyOCSP(issuerPEM, certPEM, response []byte, hash string) (string, error) {
	if !slices.Contains(hashes, hash) {
		return "", fmt.Errorf("verify OCSP response: hash %q, want one of %s", hash, strings.Join(hashes, ", "))
	}
	w, err := newWorkspace(map[string][]byte{"ca.pem": issuerPEM, "cert.pem": certPEM, "resp.der": response})
	if err != nil {
		return "", err
	}
	defer w.remove()
	status, err := w.verifyOCSP(issuerPEM, hash)
	if err != nil {
		return "", fmt.Errorf("verify OCSP response: %w", err)
	}
	return status, nil
}

func (w workspace) verifyOCSP(issuerPEM []byte, hash string) (string, error) {
	// -noverify because OpenSSL cannot give the ID to this check; it exits with
	// 0 also for an error response and for times that are past.
	text, err := w.openssl("ocsp", "-"+hash, "-issuer", "ca.pem", "-cert", "cert.pem", "-respin", "resp.der", "-noverify", "-no_nonce", "-resp_text")
	if strings.Contains(text, "No Status found") {
		return "", errors.New("openssl ocsp: no status for this certificate: the CertID is another one")
	}
	if err != nil {
		return "", err
	}
	if strings.Contains(text, "Responder Error:") {
		return "", fmt.Errorf("openssl ocsp: %s", strings.TrimSpace(text))
	}
	if strings.Contains(text, "WARNING: Status times invalid") {
		return "", errors.New("openssl ocsp: the answer is expired or not yet valid")
	}
	status := certificateStatus.FindStringSubmatch(text)
	if status == nil {
		return "", errors.New("openssl ocsp: no status for this certificate")
	}
	responder, err := responderCertificate(text)
	if err != nil {
		return "", err
	}
	if err := VerifyLink(issuerPEM, responder); err != nil {
		return "", fmt.Errorf("responder: %w", err)
	}
	if err := requireOCSPSigning(responder); err != nil {
		return "", err
	}
	return status[1], w.verifyBasicResponse(responder)
}

// responderCertificate finds the certificate in what openssl ocsp -resp_text prints.
func responderCertificate(text string) ([]byte, error) {
	_, rest, found := strings.Cut(text, "-----BEGIN CERTIFICATE-----")
	if !found {
		return nil, errors.New("openssl ocsp: no responder certificate in the response")
	}
	block, _ := pem.Decode([]byte("-----BEGIN CERTIFICATE-----" + rest))
	if block == nil {
		return nil, errors.New("openssl ocsp: no whole responder certificate printed")
	}
	return pem.EncodeToMemory(block), nil
}

// requireOCSPSigning reads the extension itself: openssl verify -purpose
// ocsphelper accepts any certificate.
func requireOCSPSigning(responder []byte) error {
	out, err := opensslOver(map[string][]byte{"r.pem": responder}, "x509", "-in", "r.pem", "-noout", "-ext", "extendedKeyUsage")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "OCSP Signing") {
		return errors.New("responder: no extendedKeyUsage OCSPSigning")
	}
	return nil
}

// verifyBasicResponse cuts the BasicOCSPResponse out of resp.der: OCSPResponse {
// status, [0] { type, OCTET STRING { BasicOCSPResponse } } }.
func (w workspace) verifyBasicResponse(responder []byte) error {
	layout, err := w.openssl("asn1parse", "-inform", "DER", "-in", "resp.der")
	if err != nil {
		return err
	}
	offset := basicResponseOffset.FindStringSubmatch(layout)
	if offset == nil {
		return errors.New("openssl asn1parse: no BasicOCSPResponse")
	}
	if _, err := w.openssl("asn1parse", "-inform", "DER", "-in", "resp.der", "-strparse", offset[1], "-noout", "-out", "signed.der"); err != nil {
		return err
	}
	if err := w.write("issuer.pem", responder); err != nil {
		return err
	}
	return w.verifySigned()
}
