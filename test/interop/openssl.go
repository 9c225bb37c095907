// Package interop verifies certificates, lists and OCSP responses with
// software that is not ours: OpenSSL 3 and BouncyCastle. Every function returns
// an error when the other software refuses, or is not there.
package interop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// distID is the default ID of GM/T 0009; OpenSSL's own default is empty.
const distID = "distid:1234567812345678"

// openssl runs it in a folder of its own that holds the files.
func openssl(files map[string][]byte, args ...string) (string, error) {
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return "", err
		}
	}
	return opensslIn(dir, args...)
}

func opensslIn(dir string, args ...string) (string, error) {
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("openssl: %w: install Debian's package openssl", err)
	}
	if err != nil {
		return string(out), fmt.Errorf("openssl %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// VerifyChain verifies one link after the other, PEM, root first: OpenSSL
// hands the ID to the target certificate alone.
func VerifyChain(chain ...[]byte) error {
	if len(chain) < 2 {
		return errors.New("verify chain: want a root and at least one certificate below")
	}
	for i := 1; i < len(chain); i++ {
		out, err := openssl(map[string][]byte{"issuer.pem": chain[i-1], "cert.pem": chain[i]},
			"verify", "-x509_strict", "-vfyopt", distID, "-partial_chain", "-trusted", "issuer.pem", "cert.pem")
		if err != nil {
			return fmt.Errorf("link %d: %w", i, err)
		}
		if !strings.Contains(out, "cert.pem: OK") {
			return fmt.Errorf("link %d: %s", i, out)
		}
	}
	return nil
}

// VerifyCSR verifies a PEM request's own signature. OpenSSL exits with 0 also
// on failure, so its words count.
func VerifyCSR(pem []byte) error {
	out, err := openssl(map[string][]byte{"csr.pem": pem}, "req", "-in", "csr.pem", "-verify", "-vfyopt", distID, "-noout")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "verify OK") {
		return fmt.Errorf("openssl req -verify: %s", out)
	}
	return nil
}

var (
	depth1    = regexp.MustCompile(`(?m)^ *(\d+):d=1 `)
	bitString = regexp.MustCompile(`(?m)^ *(\d+):d=1 .*BIT STRING`)
)

// VerifyCRL verifies the signature of a DER list with the issuer's PEM
// certificate: OpenSSL cannot give the ID to its own CRL check, so the signed
// part and the signature are cut out.
func VerifyCRL(issuerPEM, der []byte) error {
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, b := range map[string][]byte{"signed.der": der, "issuer.pem": issuerPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	layout, err := opensslIn(dir, "asn1parse", "-inform", "DER", "-in", "signed.der")
	if err != nil {
		return err
	}
	first, last := depth1.FindStringSubmatch(layout), bitString.FindStringSubmatch(layout)
	if first == nil || last == nil {
		return fmt.Errorf("no signed structure: %s", layout)
	}
	for _, args := range [][]string{
		{"asn1parse", "-inform", "DER", "-in", "signed.der", "-strparse", first[1], "-noout", "-out", "tbs"},
		{"asn1parse", "-inform", "DER", "-in", "signed.der", "-strparse", last[1], "-noout", "-out", "sig"},
		{"x509", "-in", "issuer.pem", "-noout", "-pubkey", "-out", "issuer.pub"},
		{"dgst", "-sm3", "-verify", "issuer.pub", "-sigopt", distID, "-signature", "sig", "tbs"},
	} {
		if _, err := opensslIn(dir, args...); err != nil {
			return err
		}
	}
	return nil
}

// OCSPRequest makes a DER request for a certificate, both PEM. hash is sha1,
// sha256 or sm3.
func OCSPRequest(issuerPEM, certPEM []byte, hash string, nonce bool) ([]byte, error) {
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for name, b := range map[string][]byte{"issuer.pem": issuerPEM, "cert.pem": certPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return nil, err
		}
	}
	args := []string{"ocsp", "-" + hash, "-issuer", "issuer.pem", "-cert", "cert.pem", "-reqout", "req.der"}
	if !nonce {
		args = append(args, "-no_nonce")
	}
	if _, err := opensslIn(dir, args...); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "req.der"))
}
