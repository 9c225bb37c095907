package interop

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// distID is the default ID of GM/T 0009; OpenSSL's own default is empty.
const distID = "distid:1234567812345678"

// openssl runs a subcommand in the workspace, without the host's configuration.
func (w workspace) openssl(args ...string) (string, error) {
	out, err := runTool(string(w), []string{"OPENSSL_CONF=/dev/null", "LC_ALL=C.UTF-8"}, "openssl", args...)
	return string(out.all()), err
}

// opensslOver runs one subcommand over files of its own.
func opensslOver(files map[string][]byte, args ...string) (string, error) {
	w, err := newWorkspace(files)
	if err != nil {
		return "", err
	}
	defer w.remove()
	return w.openssl(args...)
}

// VerifyCSR verifies the proof of possession of a PEM PKCS#10 request under the
// default ID.
func VerifyCSR(csrPEM []byte) error {
	out, err := opensslOver(map[string][]byte{"csr.pem": csrPEM}, "req", "-in", "csr.pem", "-verify", "-vfyopt", distID, "-noout")
	if err != nil {
		return fmt.Errorf("verify CSR: %w", err)
	}
	// OpenSSL 3.0 exits with 0 also when the signature is wrong: its words count.
	if !strings.Contains(out, "verify OK") {
		return fmt.Errorf("verify CSR: openssl req -verify: %s", strings.TrimSpace(out))
	}
	return nil
}

// VerifyLink verifies one PEM certificate with its issuer's, now.
func VerifyLink(issuerPEM, certPEM []byte) error { return VerifyLinkAt(issuerPEM, certPEM, time.Now()) }

// VerifyLinkAt verifies one PEM certificate with its issuer's: names, signature,
// validity of both at the time, the issuer's right to sign certificates and the
// form that RFC 5280 wants (-x509_strict).
func VerifyLinkAt(issuerPEM, certPEM []byte, at time.Time) error {
	// One link at a time, because OpenSSL hands -vfyopt to the target
	// certificate alone and would judge those above it with an empty ID.
	out, err := opensslOver(map[string][]byte{"issuer.pem": issuerPEM, "cert.pem": certPEM},
		"verify", "-x509_strict", "-vfyopt", distID, "-attime", strconv.FormatInt(at.Unix(), 10), "-partial_chain", "-trusted", "issuer.pem", "cert.pem")
	if err != nil {
		return fmt.Errorf("verify link: %w", err)
	}
	if !strings.Contains(out, "cert.pem: OK") {
		return fmt.Errorf("verify link: openssl verify: %s", strings.TrimSpace(out))
	}
	return nil
}

// VerifyChain verifies a chain of PEM certificates, root first, one link after
// the other, and the root's signature by itself. Path length is left to
// BouncyCastle, which sees the whole path.
func VerifyChain(chain ...[]byte) error {
	if len(chain) < 2 {
		return errors.New("verify chain: want a root and at least one certificate below it")
	}
	if err := verifySelfSigned(chain[0]); err != nil {
		return fmt.Errorf("verify chain: root: %w", err)
	}
	for i := 1; i < len(chain); i++ {
		if err := VerifyLink(chain[i-1], chain[i]); err != nil {
			return fmt.Errorf("verify chain: link %d: %w", i, err)
		}
	}
	return nil
}

// verifySelfSigned does what openssl verify -check_ss_sig cannot do with the
// default ID.
func verifySelfSigned(certPEM []byte) error {
	w, err := newWorkspace(map[string][]byte{"issuer.pem": certPEM})
	if err != nil {
		return err
	}
	defer w.remove()
	if _, err := w.openssl("x509", "-in", "issuer.pem", "-outform", "DER", "-out", "signed.der"); err != nil {
		return err
	}
	return w.verifySigned()
}

// VerifyDERSignature verifies the signature of a DER structure of the form
// SEQUENCE { signed part, algorithm, BIT STRING, ... } with the key of a PEM
// certificate: a certificate, CRL, ARL or BasicOCSPResponse. It judges nothing
// but the signature. OpenSSL cannot give the ID to its own checks of a CRL or
// OCSP response, so the two parts are cut out and verified as plain data.
func VerifyDERSignature(signerPEM, der []byte) error {
	w, err := newWorkspace(map[string][]byte{"issuer.pem": signerPEM, "signed.der": der})
	if err != nil {
		return err
	}
	defer w.remove()
	if err := w.verifySigned(); err != nil {
		return fmt.Errorf("verify signature: %w", err)
	}
	return nil
}

// VerifyCRL verifies the signature of a DER CRL or ARL with its issuer's PEM
// certificate, and that it was issued in that certificate's name.
func VerifyCRL(issuerPEM, der []byte) error {
	w, err := newWorkspace(map[string][]byte{"issuer.pem": issuerPEM, "signed.der": der})
	if err != nil {
		return err
	}
	defer w.remove()
	issuer, err := w.openssl("crl", "-inform", "DER", "-in", "signed.der", "-noout", "-issuer", "-nameopt", "RFC2253")
	if err != nil {
		return fmt.Errorf("verify CRL: %w", err)
	}
	subject, err := w.openssl("x509", "-in", "issuer.pem", "-noout", "-subject", "-nameopt", "RFC2253")
	if err != nil {
		return fmt.Errorf("verify CRL: %w", err)
	}
	got, want := strings.TrimPrefix(issuer, "issuer="), strings.TrimPrefix(subject, "subject=")
	if got != want {
		return fmt.Errorf("verify CRL: issuer is %s, want %s", strings.TrimSpace(got), strings.TrimSpace(want))
	}
	if err := w.verifySigned(); err != nil {
		return fmt.Errorf("verify CRL: %w", err)
	}
	return nil
}

var (
	childOffset     = regexp.MustCompile(`(?m)^ *(\d+):d=1 `)
	signatureOffset = regexp.MustCompile(`(?m)^ *(\d+):d=1 .*prim: BIT STRING`)
)

// verifySigned verifies signed.der with the key of issuer.pem.
func (w workspace) verifySigned() error {
	layout, err := w.openssl("asn1parse", "-inform", "DER", "-in", "signed.der")
	if err != nil {
		return err
	}
	first, signature := childOffset.FindStringSubmatch(layout), signatureOffset.FindStringSubmatch(layout)
	if first == nil || signature == nil {
		return errors.New("openssl asn1parse: no SEQUENCE of a signed part, an algorithm and a BIT STRING")
	}
	for _, args := range [][]string{
		{"asn1parse", "-inform", "DER", "-in", "signed.der", "-strparse", first[1], "-noout", "-out", "tbs"},
		{"asn1parse", "-inform", "DER", "-in", "signed.der", "-strparse", signature[1], "-noout", "-out", "sig"},
		{"x509", "-in", "issuer.pem", "-noout", "-pubkey", "-out", "issuer.pub"},
	} {
		if _, err := w.openssl(args...); err != nil {
			return err
		}
	}
	out, err := w.openssl("dgst", "-sm3", "-verify", "issuer.pub", "-sigopt", distID, "-signature", "sig", "tbs")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "Verified OK") {
		return fmt.Errorf("openssl dgst -verify: %s", strings.TrimSpace(out))
	}
	return nil
}
