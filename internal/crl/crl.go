// Package crl builds and signs certificate revocation lists (证书撤销列表), X.509
// v2 as in RFC 5280 §5 and GM/T 0015.
package crl

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/lint"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxEntries bounds one list; shard above it.
const MaxEntries = 2_000_000

// Entry is one revoked certificate.
type Entry struct {
	Serial pki.Serial
	// At is when it was revoked.
	At     time.Time
	Reason pki.Reason
}

// Template is what one list is to be.
type Template struct {
	// Issuer is the certificate of the CA, whose subject and key identifier go raw into the list.
	Issuer *smx509.Certificate
	// Number is cRLNumber (RFC 5280 §5.2.3), positive.
	Number int64
	// ThisUpdate and NextUpdate are written in whole seconds.
	ThisUpdate, NextUpdate time.Time
	// Entries in any order, each serial once. They are not changed.
	Entries []Entry
	// DistributionPoint is the URL that is also in the certificates' CRLDP; it
	// goes into a critical issuingDistributionPoint. Empty: none.
	DistributionPoint string
	// OnlyCACertificates makes the list one of CA certificates (an ARL).
	OnlyCACertificates bool
}

// Sign builds the list, lints a copy of it that a throw-away key signed, and
// has the signer sign it. It returns *lint.Error when a check fails, and
// refuses a signer whose key is not the issuer's. The signature is verified.
func Sign(signer crypto.MessageSigner, t Template) ([]byte, error) {
	der, err := sign(signer, t)
	if err != nil {
		return nil, fmt.Errorf("sign CRL: %w", err)
	}
	return der, nil
}

func sign(signer crypto.MessageSigner, t Template) ([]byte, error) {
	if t.Issuer == nil {
		return nil, errors.New("issuer certificate: is missing")
	}
	issuerKey, err := pki.ParseSM2SPKI(t.Issuer.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, fmt.Errorf("issuer certificate: %w", err)
	}
	if len(t.Issuer.SubjectKeyId) == 0 {
		return nil, errors.New("issuer certificate: has no subject key identifier")
	}
	pub, err := pki.SignerPublicKey(signer)
	if err != nil {
		return nil, err
	}
	if !pub.Equal(issuerKey) {
		return nil, errors.New("the signer's key is not the key of the issuer certificate; configure the CA with the key that its certificate was issued for")
	}
	tbs, err := t.marshal()
	if err != nil {
		return nil, err
	}
	if err := t.lint(tbs); err != nil {
		return nil, err
	}
	// Sign verifies under pub, which is the issuer's key.
	return pki.Sign(signer, tbs)
}

func (t Template) lint(tbs []byte) error {
	throwAway, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make throw-away key: %w", err)
	}
	sig, err := throwAway.SignMessage(rand.Reader, tbs, sm2.DefaultSM2SignerOpts)
	if err != nil {
		return fmt.Errorf("sign copy with throw-away key: %w", err)
	}
	der, err := pki.AssembleSigned(tbs, sig)
	if err != nil {
		return err
	}
	if findings := lint.CRL(der, lint.Context{Issuer: t.Issuer}); len(findings) > 0 {
		return &lint.Error{What: "CRL", Findings: findings}
	}
	return nil
}

// sorted returns the entries by serial number, which needs no big integers:
// serials have no leading zeros.
func (t Template) sorted() ([]Entry, error) {
	if len(t.Entries) > MaxEntries {
		return nil, fmt.Errorf("entries: has %d, at most %d are allowed; raise the number of shards", len(t.Entries), MaxEntries)
	}
	entries := slices.Clone(t.Entries)
	slices.SortFunc(entries, func(a, b Entry) int {
		if len(a.Serial) != len(b.Serial) {
			return len(a.Serial) - len(b.Serial)
		}
		return strings.Compare(string(a.Serial), string(b.Serial))
	})
	for i, e := range entries {
		if i > 0 && e.Serial == entries[i-1].Serial {
			return nil, fmt.Errorf("entries: serial %s is there twice", e.Serial)
		}
	}
	return entries, nil
}

// marshal writes the TBSCertList of RFC 5280 §5.1.
func (t Template) marshal() ([]byte, error) {
	if t.Number <= 0 {
		return nil, fmt.Errorf("number: is %d, want a positive one from the ledger", t.Number)
	}
	if t.DistributionPoint != "" {
		if err := pki.CheckURI(t.DistributionPoint); err != nil {
			return nil, fmt.Errorf("distribution point: %w", err)
		}
	}
	entries, err := t.sorted()
	if err != nil {
		return nil, err
	}
	revoked, err := marshalEntries(entries)
	if err != nil {
		return nil, err
	}
	extensions, err := t.marshalExtensions()
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(revoked)+len(extensions)+len(t.Issuer.RawSubject)+128))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddBytes(pki.SignatureAlgorithmDER())
		b.AddBytes(t.Issuer.RawSubject)
		pki.AddTime(b, t.ThisUpdate)
		pki.AddTime(b, t.NextUpdate)
		b.AddBytes(revoked)
		b.AddBytes(extensions)
	})
	return b.Bytes()
}

// marshalExtensions writes crlExtensions with its tag.
func (t Template) marshalExtensions() ([]byte, error) {
	aki, err := pki.AuthorityKeyIDDER(t.Issuer.SubjectKeyId)
	if err != nil {
		return nil, err
	}
	var number cryptobyte.Builder
	number.AddASN1Int64(t.Number)
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			pki.AddExtension(b, pki.OIDAuthorityKeyID, false, aki)
			pki.AddExtension(b, pki.OIDCRLNumber, false, number.BytesOrPanic())
			if t.DistributionPoint != "" || t.OnlyCACertificates {
				pki.AddExtension(b, pki.OIDIssuingDistribution, true, t.issuingDistributionPoint())
			}
		})
	})
	return b.Bytes()
}

// issuingDistributionPoint is the extension of RFC 5280 §5.2.5.
func (t Template) issuingDistributionPoint() []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if t.DistributionPoint != "" {
			pki.AddDistributionPointName(b, t.DistributionPoint)
		}
		if t.OnlyCACertificates { // onlyContainsCACerts [2] BOOLEAN
			b.AddASN1(cbasn1.Tag(2).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddUint8(0xff) })
		}
	})
	return b.BytesOrPanic()
}
