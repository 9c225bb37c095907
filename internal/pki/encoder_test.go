package pki

import (
	"bytes"
	encasn1 "encoding/asn1"
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// build is cryptobyte's idea of the same.
func build(t *testing.T, f func(b *cryptobyte.Builder)) []byte {
	t.Helper()
	var b cryptobyte.Builder
	f(&b)
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestEncoderLengths(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 255, 256, 65535, 65536, 1 << 24} {
		content := bytes.Repeat([]byte{'x'}, n)
		want := build(t, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1OctetString(content) })
		})
		var octets, text Encoder
		octets.Nest(cbasn1.SEQUENCE, func() { octets.Octets(cbasn1.OCTET_STRING, content) })
		text.Nest(cbasn1.SEQUENCE, func() { text.Text(cbasn1.OCTET_STRING, string(content)) })
		for _, e := range []Encoder{octets, text} {
			if got, err := e.Bytes(); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes: differs, or error %v", n, err)
			}
		}
		signed := build(t, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(want)
				b.AddBytes(sm2SignatureAlgorithm)
				b.AddASN1BitString(content[:n%1000])
			})
		})
		if got, err := AssembleSigned(want, content[:n%1000]); err != nil || !bytes.Equal(got, signed) {
			t.Errorf("%d bytes: AssembleSigned differs, or error %v", n, err)
		}
	}
}

func TestEncoderFields(t *testing.T) {
	at := []time.Time{
		time.Date(2026, 3, 1, 12, 0, 0, 999, time.FixedZone("", 8*3600)), time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for _, v := range at {
		var e Encoder
		e.Time(v)
		if got, err := e.Bytes(); err != nil || !bytes.Equal(got, build(t, func(b *cryptobyte.Builder) { AddTime(b, v) })) {
			t.Errorf("time %s: got %x, error %v", v, got, err)
		}
	}
	for _, s := range []Serial{"01", "7F", "80", "0080", "00", "", "XY", "1", "FF00112233445566778899AABBCCDDEEFF001122"} {
		var e Encoder
		e.Serial(s)
		if got, err := e.Bytes(); err != nil || !bytes.Equal(got, build(t, func(b *cryptobyte.Builder) { b.AddASN1BigInt(s.Int()) })) {
			t.Errorf("serial %q: got %x, error %v", s, got, err)
		}
	}
	for _, oid := range []string{OIDKeyUsage, OIDAccessOCSP, "1.2.3.4.5", "2.999.3"} {
		var e Encoder
		e.Extension(oid, true, func() { e.Octets(cbasn1.NULL, nil) })
		if got, err := e.Bytes(); err != nil || !bytes.Equal(got, build(t, func(b *cryptobyte.Builder) { AddExtension(b, oid, true, []byte{5, 0}) })) {
			t.Errorf("extension %s: got %x, error %v", oid, got, err)
		}
	}
}

func TestEncoderKeepsTheFirstError(t *testing.T) {
	first := errors.New("first")
	tests := map[string]func(*Encoder){
		"object identifier": func(e *Encoder) { e.OID("1.x") },
		"time":              func(e *Encoder) { e.Time(time.Time{}) },
		"identity":          func(e *Encoder) { e.Identity(IdentityExtension{Encoding: "?"}, "") },
	}
	for desc, f := range tests {
		var alone, after Encoder
		f(&alone)
		after.Fail(first)
		f(&after)
		if _, err := alone.Bytes(); err == nil {
			t.Errorf("%s: no error", desc)
		}
		if _, err := after.Bytes(); !errors.Is(err, first) {
			t.Errorf("%s: got %v, want the first error", desc, err)
		}
	}
}

func FuzzReadOID(f *testing.F) {
	for der := range wellKnown.dotted {
		f.Add([]byte(der))
	}
	f.Add([]byte{6, 1, 0x80})
	f.Add([]byte{6, 3, 0x88, 0x37, 3, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		in, reference := cryptobyte.String(der), cryptobyte.String(der)
		var want encasn1.ObjectIdentifier
		wantOK := reference.ReadASN1ObjectIdentifier(&want)
		got, ok := ReadOID(&in)
		if ok != wantOK || ok && (got != want.String() || !bytes.Equal(in, reference)) {
			t.Errorf("%x: got %q, %v, cryptobyte %s, %v", der, got, ok, want, wantOK)
		}
	})
}
