package crl

import (
	"crypto"
	"errors"
	"fmt"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/lint"
	"github.com/terrace-pki/terrace/internal/pki"
)

// maxHeader is the longest tag and length that pki.AppendHeader writes.
const maxHeader = 6

// Builder encodes a list while its entries come, straight into the bytes that
// are signed and published: what it holds is one encoded list. It makes one list
// and is not for concurrent use.
type Builder struct {
	t        Template
	verifier *pki.Verifier
	// head is what stands in the TBSCertList before revokedCertificates.
	head []byte
	// buf has room at its front for all that comes before the entries, whose
	// lengths are known last.
	buf     []byte
	room    int
	last    pki.Serial
	entries int
}

// NewBuilder begins a list; Entries and Number of the template are not used.
func NewBuilder(t Template) (*Builder, error) {
	b, err := newBuilder(t)
	if err != nil {
		return nil, fmt.Errorf("build CRL: %w", err)
	}
	return b, nil
}

func newBuilder(t Template) (*Builder, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	key, err := pki.ParseSM2SPKI(t.Issuer.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, fmt.Errorf("issuer certificate: %w", err)
	}
	b := &Builder{t: t}
	if b.verifier, err = pki.NewVerifier(key); err != nil {
		return nil, fmt.Errorf("issuer certificate: %w", err)
	}
	e := pki.NewEncoder(64 + len(t.Issuer.RawSubject))
	e.Octets(cbasn1.INTEGER, []byte{1}) // v2
	e.SignatureAlgorithm()
	e.Raw(t.Issuer.RawSubject)
	e.Time(t.ThisUpdate)
	e.Time(t.NextUpdate)
	if b.head, err = e.Bytes(); err != nil {
		return nil, err
	}
	b.room = 3*maxHeader + len(b.head) // the outer SEQUENCE, the TBSCertList, revokedCertificates
	b.buf = make([]byte, b.room, b.room+4096)
	return b, nil
}

// Add appends an entry (RFC 5280 §5.3). They come by serial number, each once.
func (b *Builder) Add(e Entry) error {
	err := b.add(e)
	if err != nil {
		return fmt.Errorf("build CRL: %w", err)
	}
	return nil
}

func (b *Builder) add(e Entry) error {
	if b.entries == MaxEntries {
		return tooMany(b.entries + 1)
	}
	if b.entries > 0 {
		switch c := compareSerials(b.last, e.Serial); {
		case c == 0:
			return fmt.Errorf("entries: serial %s is there twice", e.Serial)
		case c > 0:
			return fmt.Errorf("entries: serial %s comes after %s; want them by number", e.Serial, b.last)
		}
	}
	out, err := appendEntry(b.buf, e, b.t.Base > 0)
	if err != nil {
		return fmt.Errorf("entry %.48s: %w", string(e.Serial), err)
	}
	b.buf, b.last = out, e.Serial
	b.entries++
	return nil
}

// Len is the number of entries so far.
func (b *Builder) Len() int { return b.entries }

// Sign completes the list under a number, lints it under a signature of nobody
// (see [lint.NobodysSignature]), and has the signer sign it. It returns
// *lint.Error when a check fails, and refuses a signer whose key is not the
// issuer's. The signature is verified. The builder is used up.
func (b *Builder) Sign(signer crypto.MessageSigner, number int64) ([]byte, error) {
	der, err := b.sign(signer, number)
	b.buf = nil
	if err != nil {
		return nil, fmt.Errorf("sign CRL: %w", err)
	}
	return der, nil
}

func (b *Builder) sign(signer crypto.MessageSigner, number int64) ([]byte, error) {
	switch {
	case b.buf == nil:
		return nil, errors.New("the builder is used up; make a new one")
	case number <= 0:
		return nil, fmt.Errorf("number: is %d, want a positive one from the ledger", number)
	case number <= b.t.Base:
		return nil, fmt.Errorf("number: is %d, want one above the base %d", number, b.t.Base)
	}
	pub, err := pki.SignerPublicKey(signer)
	if err != nil {
		return nil, err
	}
	if !b.verifier.IsFor(pub) {
		return nil, errors.New("the signer's key is not the key of the issuer certificate; configure the CA with the key that its certificate was issued for")
	}
	start, err := b.completeTBS(number)
	if err != nil {
		return nil, err
	}
	end := len(b.buf)
	if findings := lint.CRL(b.assemble(start, end, lint.NobodysSignature()), lint.Context{Issuer: b.t.Issuer}); len(findings) > 0 {
		return nil, &lint.Error{What: "CRL", Findings: findings}
	}
	sig, err := b.verifier.Signature(signer, b.buf[start:end:end])
	if err != nil {
		return nil, err
	}
	return b.assemble(start, end, sig), nil
}

// completeTBS writes what stands around the entries and returns where the
// TBSCertList (RFC 5280 §5.1) begins; it ends with the buffer.
func (b *Builder) completeTBS(number int64) (start int, err error) {
	entries := len(b.buf) - b.room
	extensions, err := b.t.extensions(number)
	if err != nil {
		return 0, err
	}
	b.buf = append(b.buf, extensions...)
	start = b.room
	if entries > 0 { // RFC 5280 §5.1.2.6: absent when there are none
		start = b.before(start, pki.AppendHeader(nil, cbasn1.SEQUENCE, entries))
	}
	start = b.before(start, b.head)
	return b.before(start, pki.AppendHeader(nil, cbasn1.SEQUENCE, len(b.buf)-start)), nil
}

// assemble writes the SEQUENCE of the TBSCertList at buf[start:end], algorithm
// and signature, in place of an earlier one.
func (b *Builder) assemble(start, end int, sig []byte) []byte {
	b.buf = append(b.buf[:end], pki.SignatureAlgorithmDER()...)
	b.buf = append(pki.AppendHeader(b.buf, cbasn1.BIT_STRING, len(sig)+1), 0)
	b.buf = append(b.buf, sig...)
	return b.buf[b.before(start, pki.AppendHeader(nil, cbasn1.SEQUENCE, len(b.buf)-start)):]
}

// before writes bytes so that they end at a place, and returns where they begin.
func (b *Builder) before(place int, bytes []byte) int {
	return place - copy(b.buf[place-len(bytes):], bytes)
}

// extensions is crlExtensions with its tag.
func (t Template) extensions(number int64) ([]byte, error) {
	e := pki.NewEncoder(256)
	e.Nest(cbasn1.Tag(0).ContextSpecific().Constructed(), func() {
		e.Nest(cbasn1.SEQUENCE, func() {
			aki, err := pki.AuthorityKeyIDDER(t.Issuer.SubjectKeyId)
			if err != nil {
				e.Fail(err)
			}
			e.Extension(pki.OIDAuthorityKeyID, false, func() { e.Raw(aki) })
			e.Extension(pki.OIDCRLNumber, false, func() { addNumber(&e, number) })
			if t.Base > 0 {
				e.Extension(pki.OIDDeltaCRLIndicator, true, func() { addNumber(&e, t.Base) })
			}
			if t.DistributionPoint != "" || t.OnlyCACertificates {
				e.Extension(pki.OIDIssuingDistribution, true, func() { t.addIssuingDistributionPoint(&e) })
			}
			if t.FreshestCRL != "" {
				e.Extension(pki.OIDFreshestCRL, false, func() {
					e.Nest(cbasn1.SEQUENCE, func() { e.Nest(cbasn1.SEQUENCE, func() { addPointName(&e, t.FreshestCRL) }) })
				})
			}
		})
	})
	return e.Bytes()
}

// addIssuingDistributionPoint is the extension of RFC 5280 §5.2.5.
func (t Template) addIssuingDistributionPoint(e *pki.Encoder) {
	e.Nest(cbasn1.SEQUENCE, func() {
		if t.DistributionPoint != "" {
			addPointName(e, t.DistributionPoint)
		}
		if t.OnlyCACertificates { // onlyContainsCACerts [2] BOOLEAN
			e.Octets(cbasn1.Tag(2).ContextSpecific(), []byte{0xff})
		}
	})
}

// addPointName writes distributionPoint [0] { fullName [0] { URI } } (RFC 5280 §4.2.1.13).
func addPointName(e *pki.Encoder, url string) {
	name := cbasn1.Tag(0).ContextSpecific().Constructed()
	e.Nest(name, func() { e.Nest(name, func() { e.Text(cbasn1.Tag(6).ContextSpecific(), url) }) })
}

// addNumber writes a positive INTEGER.
func addNumber(e *pki.Encoder, n int64) {
	var octets []byte
	for ; n > 0; n >>= 8 {
		octets = append([]byte{byte(n)}, octets...)
	}
	if octets[0] >= 0x80 {
		octets = append([]byte{0}, octets...)
	}
	e.Octets(cbasn1.INTEGER, octets)
}
