package lint

import (
	"bytes"
	"errors"

	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var keyChecks = []Check[*CertificateInput]{
	{"key-sm2", "GM/T 0009-2012 §7.1, GB/T 20518 (subjectPublicKeyInfo)", func(c *CertificateInput) error {
		return pki.CheckSM2SPKI(c.SPKI)
	}},
	{"authority-key-id", "RFC 5280 §4.2.1.1", func(c *CertificateInput) error {
		if c.Issuer == nil {
			return authorityKeyID(c.Extensions, pki.KeyID(c.SPKI))
		}
		return authorityKeyID(c.Extensions, c.Issuer.SubjectKeyId)
	}},
	{"subject-key-id", "RFC 5280 §4.2.1.2", func(c *CertificateInput) error {
		id, there, err := c.subjectKeyID()
		if err == nil && (!there || len(id) == 0) {
			err = errors.New("subjectKeyIdentifier is missing or empty")
		}
		return err
	}},
	{"subject-key-id-method", "RFC 5280 §4.2.1.2 method 1, GM/T 0015 in practice", func(c *CertificateInput) error {
		id, there, err := c.subjectKeyID()
		if err != nil || !there || len(id) == 0 {
			return nil // subject-key-id
		}
		if !bytes.Equal(id, pki.KeyID(c.SPKI)) {
			return errors.New("subjectKeyIdentifier is not SHA-1 over the public key's bits")
		}
		return nil
	}},
}

func (c *CertificateInput) subjectKeyID() (id []byte, there bool, err error) {
	e, ok := c.Find(pki.OIDSubjectKeyID)
	if !ok {
		return nil, false, nil
	}
	in := cryptobyte.String(e.Value)
	if !in.ReadASN1((*cryptobyte.String)(&id), cbasn1.OCTET_STRING) || !in.Empty() {
		return nil, true, errors.New("subjectKeyIdentifier is not an OCTET STRING")
	}
	return id, true, nil
}

// authorityKeyID wants the key identifier alone.
func authorityKeyID(extensions []Extension, want []byte) error {
	e, ok := find(extensions, pki.OIDAuthorityKeyID)
	if !ok {
		return errors.New("authorityKeyIdentifier is missing")
	}
	der, err := pki.AuthorityKeyIDDER(want)
	if err != nil {
		return err
	}
	if !bytes.Equal(e.Value, der) {
		return errors.New("authorityKeyIdentifier is not the issuer's subjectKeyIdentifier and that alone")
	}
	return nil
}
