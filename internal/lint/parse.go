package lint

import (
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const maxExtensions = 64

// Extension is one extension as it stands.
type Extension struct {
	OID      string
	Critical bool
	Value    []byte
}

// CertificateInput is a certificate taken apart and not judged.
type CertificateInput struct {
	Context
	Version        int // 3 for v3
	Serial         []byte
	InnerAlgorithm []byte
	OuterAlgorithm []byte
	IssuerDER      []byte
	NotBefore      stamp
	NotAfter       stamp
	SubjectDER     []byte
	SPKI           []byte
	UniqueIDs      bool
	Extensions     []Extension
	Signature      []byte // content of the BIT STRING without the leading octet

	raw  []byte // set by Examine alone
	kind Kinds  // set by Examine alone
	read derived
}

// derived is what several checks ask of the same bytes; it is read once.
type derived struct {
	notBefore, notAfter moment
	keyUsage            pki.KeyUsage // 0 when missing or malformed
	keyUsageErr         error
	constraints         constraints
	usages              []string
	usagesErr           error
}

// moment is a stamp as a time, or why it is none.
type moment struct {
	time.Time
	err error
}

// stamp is a Time with its tag.
type stamp struct {
	tag cbasn1.Tag
	raw []byte
}

// Find returns the first extension of an OID.
func (c *CertificateInput) Find(oid string) (Extension, bool) { return find(c.Extensions, oid) }

func find(list []Extension, oid string) (Extension, bool) {
	for _, e := range list {
		if e.OID == oid {
			return e, true
		}
	}
	return Extension{}, false
}

type signed struct {
	tbs       cryptobyte.String
	algorithm []byte
	signature []byte
}

// splitSigned reads the SEQUENCE of tbs, algorithm and signature.
func splitSigned(der []byte) (signed, error) {
	in := cryptobyte.String(der)
	var outer, tbs, algorithm, sig cryptobyte.String
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !in.Empty() {
		return signed{}, errors.New("is not one SEQUENCE")
	}
	if !outer.ReadASN1(&tbs, cbasn1.SEQUENCE) || !outer.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!outer.ReadASN1(&sig, cbasn1.BIT_STRING) || !outer.Empty() || len(sig) == 0 || sig[0] != 0 {
		return signed{}, errors.New("is not to-be-signed part, algorithm, signature")
	}
	return signed{tbs, algorithm, sig[1:]}, nil
}

func parseCertificate(der []byte, ctx Context) (*CertificateInput, error) {
	s, err := splitSigned(der)
	if err != nil {
		return nil, err
	}
	c := &CertificateInput{Context: ctx, Version: 1, OuterAlgorithm: s.algorithm, Signature: s.signature}
	tbs := s.tbs
	if tbs.PeekASN1Tag(explicit(0)) {
		var v cryptobyte.String
		if !tbs.ReadASN1(&v, explicit(0)) || !v.ReadASN1Integer(&c.Version) || !v.Empty() {
			return nil, errors.New("version is malformed")
		}
		c.Version++
	}
	var validity cryptobyte.String
	if !tbs.ReadASN1((*cryptobyte.String)(&c.Serial), cbasn1.INTEGER) ||
		!tbs.ReadASN1Element((*cryptobyte.String)(&c.InnerAlgorithm), cbasn1.SEQUENCE) ||
		!tbs.ReadASN1Element((*cryptobyte.String)(&c.IssuerDER), cbasn1.SEQUENCE) ||
		!tbs.ReadASN1(&validity, cbasn1.SEQUENCE) ||
		!tbs.ReadASN1Element((*cryptobyte.String)(&c.SubjectDER), cbasn1.SEQUENCE) ||
		!tbs.ReadASN1Element((*cryptobyte.String)(&c.SPKI), cbasn1.SEQUENCE) {
		return nil, errors.New("a field between serial number and public key is malformed")
	}
	if !readStamp(&validity, &c.NotBefore) || !readStamp(&validity, &c.NotAfter) || !validity.Empty() {
		return nil, errors.New("validity is not two times")
	}
	for _, n := range []uint8{1, 2} {
		if tag := cbasn1.Tag(n).ContextSpecific(); tbs.PeekASN1Tag(tag) {
			c.UniqueIDs = true
			if !tbs.SkipASN1(tag) {
				return nil, errors.New("unique identifier is malformed")
			}
		}
	}
	if c.Extensions, err = readExtensions(&tbs, explicit(3)); err != nil {
		return nil, err
	}
	if !tbs.Empty() {
		return nil, errors.New("has fields after the extensions")
	}
	c.derive()
	return c, nil
}

func (c *CertificateInput) derive() {
	c.read.notBefore, c.read.notAfter = c.NotBefore.moment(), c.NotAfter.moment()
	c.read.keyUsage, c.read.keyUsageErr = c.readKeyUsage()
	c.read.constraints = c.readConstraints()
	c.read.usages, c.read.usagesErr = c.readExtKeyUsages()
}

func explicit(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }

func readStamp(in *cryptobyte.String, out *stamp) bool {
	return in.ReadAnyASN1((*cryptobyte.String)(&out.raw), &out.tag)
}

// readExtensions reads the optional Extensions under an explicit tag.
func readExtensions(in *cryptobyte.String, tag cbasn1.Tag) ([]Extension, error) {
	var wrapped cryptobyte.String
	var present bool
	if !in.ReadOptionalASN1(&wrapped, &present, tag) {
		return nil, errors.New("extensions are malformed")
	}
	if !present {
		return nil, nil
	}
	var list cryptobyte.String
	if !wrapped.ReadASN1(&list, cbasn1.SEQUENCE) || !wrapped.Empty() {
		return nil, errors.New("extensions are malformed")
	}
	return readExtensionList(list)
}

func readExtensionList(list cryptobyte.String) ([]Extension, error) {
	if list.Empty() {
		return nil, nil
	}
	out := make([]Extension, 0, 12) // as many as most certificates have
	for !list.Empty() {
		if len(out) == maxExtensions {
			return nil, fmt.Errorf("has more than %d extensions", maxExtensions)
		}
		var ext, value cryptobyte.String
		var e Extension
		var ok bool
		if !list.ReadASN1(&ext, cbasn1.SEQUENCE) {
			return nil, errors.New("an extension is malformed")
		}
		if e.OID, ok = pki.ReadOID(&ext); !ok ||
			(ext.PeekASN1Tag(cbasn1.BOOLEAN) && !ext.ReadASN1Boolean(&e.Critical)) ||
			!ext.ReadASN1(&value, cbasn1.OCTET_STRING) || !ext.Empty() {
			return nil, errors.New("an extension is malformed")
		}
		e.Value = value
		out = append(out, e)
	}
	return out, nil
}
