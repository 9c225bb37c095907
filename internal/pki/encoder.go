package pki

import (
	encasn1 "encoding/asn1"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Encoder writes DER into one buffer, for what is written once per certificate;
// cryptobyte.Builder, which allocates per element, serves elsewhere. Contents
// are written first and moved up by the length of their header, which for a
// certificate costs less than computing lengths ahead. The first error is kept
// and returned by Bytes. The zero Encoder is ready; it is not for concurrent use.
type Encoder struct {
	buf []byte
	err error
}

// NewEncoder has room for size bytes before it grows.
func NewEncoder(size int) Encoder { return Encoder{buf: make([]byte, 0, size)} }

// Bytes returns what was written, or the first error.
func (e *Encoder) Bytes() ([]byte, error) { return e.buf, e.err }

// Fail keeps err unless there was one before.
func (e *Encoder) Fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// Raw appends DER that is encoded already.
func (e *Encoder) Raw(der []byte) { e.buf = append(e.buf, der...) }

// Nest writes an element whose content write writes.
func (e *Encoder) Nest(tag cbasn1.Tag, write func()) {
	start := len(e.buf)
	write()
	n := len(e.buf) - start
	var header [6]byte
	h := appendHeader(header[:0], tag, n)
	e.buf = append(e.buf, h...)
	copy(e.buf[start+len(h):], e.buf[start:start+n])
	copy(e.buf[start:], h)
}

// Octets writes a primitive element.
func (e *Encoder) Octets(tag cbasn1.Tag, content []byte) {
	e.buf = append(appendHeader(e.buf, tag, len(content)), content...)
}

// Text writes a primitive element of the bytes of a string.
func (e *Encoder) Text(tag cbasn1.Tag, content string) {
	e.buf = append(appendHeader(e.buf, tag, len(content)), content...)
}

// OID writes an object identifier given in dotted form.
func (e *Encoder) OID(dotted string) {
	if der, ok := wellKnown.der[dotted]; ok {
		e.Raw(der)
		return
	}
	der, err := oidDER(dotted)
	if err != nil {
		e.Fail(err)
		return
	}
	e.Raw(der)
}

// Extension writes an Extension of RFC 5280 §4.1 whose extnValue holds what
// value writes; oid is dotted.
func (e *Encoder) Extension(oid string, critical bool, value func()) {
	e.Nest(cbasn1.SEQUENCE, func() {
		e.OID(oid)
		if critical {
			e.Raw([]byte{byte(cbasn1.BOOLEAN), 1, 0xff})
		}
		e.Nest(cbasn1.OCTET_STRING, value)
	})
}

// Time writes a Time of RFC 5280 §4.1.2.5, as AddTime does.
func (e *Encoder) Time(t time.Time) {
	t = t.UTC().Truncate(time.Second)
	switch y := t.Year(); {
	case y < 1950 || y > 9999:
		e.Fail(fmt.Errorf("time %s: year is outside 1950 to 9999", t.Format(time.RFC3339)))
	case y < 2050:
		e.buf = t.AppendFormat(appendHeader(e.buf, cbasn1.UTCTime, 13), "060102150405Z")
	default:
		e.buf = t.AppendFormat(appendHeader(e.buf, cbasn1.GeneralizedTime, 15), "20060102150405Z")
	}
}

// Serial writes a CertificateSerialNumber; no serial is written as zero.
func (e *Encoder) Serial(s Serial) {
	number, ok := s.octets()
	if !ok || len(number) == 0 {
		number = []byte{0}
	}
	e.Nest(cbasn1.INTEGER, func() {
		if number[0] >= 0x80 {
			e.Raw([]byte{0})
		}
		e.Raw(number)
	})
}

// SignatureAlgorithm writes SignatureAlgorithmDER.
func (e *Encoder) SignatureAlgorithm() { e.Raw(sm2SignatureAlgorithm) }

// Name writes n as Name.DER returns it.
func (e *Encoder) Name(n Name) {
	if len(n.der) == 0 {
		e.Raw([]byte{0x30, 0x00})
		return
	}
	e.Raw(n.der)
}

// appendHeader writes tag and length in the shortest form.
func appendHeader(b []byte, tag cbasn1.Tag, n int) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(tag), byte(n))
	case n < 1<<8:
		return append(b, byte(tag), 0x81, byte(n))
	case n < 1<<16:
		return append(b, byte(tag), 0x82, byte(n>>8), byte(n))
	case n < 1<<24:
		return append(b, byte(tag), 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, byte(tag), 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// ReadOID reads an OBJECT IDENTIFIER into dotted form. Those that this package
// names cost no allocation.
func ReadOID(in *cryptobyte.String) (dotted string, ok bool) {
	var element cryptobyte.String
	if !in.ReadASN1Element(&element, cbasn1.OBJECT_IDENTIFIER) {
		return "", false
	}
	if dotted, ok := wellKnown.dotted[string(element)]; ok {
		return dotted, true
	}
	return readArcs(element)
}

// wellKnown are the object identifiers of this package and of the commonest key
// usages and identity extensions, both ways.
var wellKnown = func() (w struct {
	der    map[string][]byte
	dotted map[string]string
}) {
	list := []string{
		OIDSM2Curve, OIDSM2WithSM3, OIDPublicKey,
		OIDSubjectKeyID, OIDKeyUsage, OIDSubjectAltName, OIDBasicConstraints, OIDCRLNumber, OIDReasonCode,
		OIDDeltaCRLIndicator, OIDIssuingDistribution, OIDCRLDistributionPoints, OIDFreshestCRL, OIDAuthorityKeyID, OIDExtKeyUsage, OIDAuthorityInfoAccess, OIDOCSPNoCheck,
		OIDAccessOCSP, OIDAccessCAIssuers, OIDExtKeyUsageTimeStamping, OIDExtKeyUsageOCSPSigning, OIDExtensionRequest,
	}
	for _, t := range attributeTypes {
		list = append(list, t.oid)
	}
	for usage := 1; usage <= 4; usage++ { // serverAuth to emailProtection
		list = append(list, "1.3.6.1.5.5.7.3."+strconv.Itoa(usage))
	}
	for identity := 1; identity <= 5; identity++ { // GB/T 20518
		list = append(list, "1.2.156.10260.4.1."+strconv.Itoa(identity))
	}
	w.der, w.dotted = make(map[string][]byte, len(list)), make(map[string]string, len(list))
	for _, dotted := range list {
		der, err := oidDER(dotted)
		if err != nil {
			panic(err) // a constant of this package
		}
		w.der[dotted], w.dotted[string(der)] = der, dotted
	}
	return w
}()

func oidDER(dotted string) ([]byte, error) {
	oid, err := ParseOID(dotted)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1ObjectIdentifier(oid)
	return b.Bytes()
}

func readArcs(element cryptobyte.String) (string, bool) {
	var oid encasn1.ObjectIdentifier
	if !element.ReadASN1ObjectIdentifier(&oid) {
		return "", false
	}
	return oid.String(), true
}
