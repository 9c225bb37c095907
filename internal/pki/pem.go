package pki

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/emmansun/gmsm/smx509"
)

// Bounds of what is read.
const (
	MaxRequestDER     = 16 << 10 // bytes
	MaxCertificateDER = 64 << 10 // bytes
	maxPublicKeyDER   = 1 << 10  // bytes
	maxPEMOverhead    = 1 << 10  // bytes of armour around one block, beside base64
)

// PEM block types (RFC 7468).
const (
	PEMCertificate = "CERTIFICATE"
	PEMRequest     = "CERTIFICATE REQUEST"
	PEMCRL         = "X509 CRL"
	PEMPublicKey   = "PUBLIC KEY"
)

// EncodePEM writes one block of a type for each DER, in order.
func EncodePEM(typ string, ders ...[]byte) []byte {
	var b bytes.Buffer
	for _, der := range ders {
		// Writing to a bytes.Buffer without headers cannot fail.
		_ = pem.Encode(&b, &pem.Block{Type: typ, Bytes: der})
	}
	return b.Bytes()
}

// decodePEM reads 1 to max blocks of one of the types, with nothing but white
// space around them.
func decodePEM(b []byte, max, maxDER int, types ...string) ([][]byte, error) {
	if limit := max * (maxDER*3/2 + maxPEMOverhead); len(b) > limit {
		return nil, fmt.Errorf("PEM: has %d bytes, at most %d are allowed", len(b), limit)
	}
	var ders [][]byte
	for rest := bytes.TrimSpace(b); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		if !bytes.HasPrefix(rest, []byte("-----BEGIN ")) {
			return nil, fmt.Errorf("PEM: block %d: does not begin with -----BEGIN; remove the text around the blocks", len(ders)+1)
		}
		if len(ders) == max {
			return nil, fmt.Errorf("PEM: has more than %d blocks", max)
		}
		var block *pem.Block
		before := bytes.Count(rest, []byte("-----BEGIN "))
		block, rest = pem.Decode(rest)
		if block == nil {
			return nil, fmt.Errorf("PEM: block %d: is malformed", len(ders)+1)
		}
		// pem.Decode skips a block that it cannot read; that must not pass silently.
		if bytes.Count(rest, []byte("-----BEGIN "))+1 != before {
			return nil, fmt.Errorf("PEM: block %d: is malformed", len(ders)+1)
		}
		if !slices.Contains(types, block.Type) {
			return nil, fmt.Errorf("PEM: block %d: is %.64q, want %q", len(ders)+1, block.Type, types[0])
		}
		if len(block.Headers) > 0 {
			return nil, fmt.Errorf("PEM: block %d: has headers; write it without (RFC 7468 §2)", len(ders)+1)
		}
		if len(block.Bytes) == 0 || len(block.Bytes) > maxDER {
			return nil, fmt.Errorf("PEM: block %d: has %d bytes of DER, want 1 to %d", len(ders)+1, len(block.Bytes), maxDER)
		}
		ders = append(ders, block.Bytes)
	}
	if len(ders) == 0 {
		return nil, fmt.Errorf("PEM: has no block; want %q", types[0])
	}
	return ders, nil
}

// ParsePublicKeyPEM reads exactly one SubjectPublicKeyInfo with an SM2 key.
func ParsePublicKeyPEM(b []byte) (*ecdsa.PublicKey, error) {
	ders, err := decodePEM(b, 1, maxPublicKeyDER, PEMPublicKey)
	if err != nil {
		return nil, fmt.Errorf("parse public key: %w", err)
	}
	pub, err := ParseSM2SPKI(ders[0])
	if err != nil {
		return nil, fmt.Errorf("parse public key: %w", err)
	}
	return pub, nil
}

// ParseCertificatePEM reads exactly one certificate.
func ParseCertificatePEM(b []byte) (*smx509.Certificate, error) {
	certs, err := ParseCertificatesPEM(b, 1)
	if err != nil {
		return nil, err
	}
	return certs[0], nil
}

// ParseCertificatesPEM reads 1 to max certificates, in order, with no other
// blocks and no text between them.
func ParseCertificatesPEM(b []byte, max int) ([]*smx509.Certificate, error) {
	ders, err := decodePEM(b, max, MaxCertificateDER, PEMCertificate)
	if err != nil {
		return nil, fmt.Errorf("parse certificates: %w", err)
	}
	certs := make([]*smx509.Certificate, len(ders))
	for i, der := range ders {
		if certs[i], err = ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("parse certificates: block %d: %w", i+1, err)
		}
	}
	return certs, nil
}

// ParseCertificate reads one certificate in DER of at most MaxCertificateDER
// bytes, with no bytes after it.
func ParseCertificate(der []byte) (*smx509.Certificate, error) {
	if len(der) > MaxCertificateDER {
		return nil, fmt.Errorf("certificate has %d bytes, at most %d are allowed", len(der), MaxCertificateDER)
	}
	cert, err := smx509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if len(cert.Raw) != len(der) {
		return nil, errors.New("certificate has bytes after its end")
	}
	return cert, nil
}

// IsSM2Certificate says whether a certificate has an SM2 key in the form of
// GM/T 0009 §7.1 and is signed with SM2 and SM3.
func IsSM2Certificate(c *smx509.Certificate) bool {
	if c == nil || c.SignatureAlgorithm != smx509.SM2WithSM3 {
		return false
	}
	_, err := ParseSM2SPKI(c.RawSubjectPublicKeyInfo)
	return err == nil
}
