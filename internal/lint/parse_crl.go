package lint

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// CRLInput is a CRL taken apart and not judged.
type CRLInput struct {
	Context
	Version        int // 2 for v2
	InnerAlgorithm []byte
	OuterAlgorithm []byte
	IssuerDER      []byte
	ThisUpdate     stamp
	NextUpdate     stamp // zero tag when absent
	// Entries is the content of revokedCertificates: it is walked, not copied,
	// for a list may have a million of them.
	Entries      []byte
	EntriesThere bool
	Extensions   []Extension
	Signature    []byte

	raw  []byte // set by Examine alone
	kind Kinds  // set by Examine alone
}

// Find returns the first extension of an OID.
func (c *CRLInput) Find(oid string) (Extension, bool) { return find(c.Extensions, oid) }

// crlEntry is one revoked certificate.
type crlEntry struct {
	serial     []byte
	at         stamp
	extensions cryptobyte.String // content of the SEQUENCE, empty when absent
	present    bool
}

// each calls f for every entry, in order, until it returns an error.
func (c *CRLInput) each(f func(i int, e crlEntry) error) error {
	in := cryptobyte.String(c.Entries)
	for i := 0; !in.Empty(); i++ {
		e, err := readEntry(&in)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
		if err := f(i, e); err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	return nil
}

func readEntry(in *cryptobyte.String) (crlEntry, error) {
	var e crlEntry
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1((*cryptobyte.String)(&e.serial), cbasn1.INTEGER) ||
		!readStamp(&seq, &e.at) || !seq.ReadOptionalASN1(&e.extensions, &e.present, cbasn1.SEQUENCE) || !seq.Empty() {
		return e, errors.New("is malformed")
	}
	return e, nil
}

func parseCRL(der []byte, ctx Context) (*CRLInput, error) {
	s, err := splitSigned(der)
	if err != nil {
		return nil, err
	}
	c := &CRLInput{Context: ctx, Version: 1, OuterAlgorithm: s.algorithm, Signature: s.signature}
	tbs := s.tbs
	if tbs.PeekASN1Tag(cbasn1.INTEGER) {
		if !tbs.ReadASN1Integer(&c.Version) {
			return nil, errors.New("version is malformed")
		}
		c.Version++
	}
	if !tbs.ReadASN1Element((*cryptobyte.String)(&c.InnerAlgorithm), cbasn1.SEQUENCE) ||
		!tbs.ReadASN1Element((*cryptobyte.String)(&c.IssuerDER), cbasn1.SEQUENCE) ||
		!readStamp(&tbs, &c.ThisUpdate) {
		return nil, errors.New("algorithm, issuer or thisUpdate is malformed")
	}
	if tbs.PeekASN1Tag(cbasn1.UTCTime) || tbs.PeekASN1Tag(cbasn1.GeneralizedTime) {
		if !readStamp(&tbs, &c.NextUpdate) {
			return nil, errors.New("nextUpdate is malformed")
		}
	}
	if !tbs.ReadOptionalASN1((*cryptobyte.String)(&c.Entries), &c.EntriesThere, cbasn1.SEQUENCE) {
		return nil, errors.New("revokedCertificates is malformed")
	}
	if c.Extensions, err = readExtensions(&tbs, explicit(0)); err != nil {
		return nil, err
	}
	if !tbs.Empty() {
		return nil, errors.New("has fields after the extensions")
	}
	return c, c.each(func(int, crlEntry) error { return nil })
}

// compareSerials orders the contents of two positive INTEGERs.
func compareSerials(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}
