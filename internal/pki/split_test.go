package pki

import (
	"bytes"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// What is cut is joined to the same bytes, whatever the length.
func TestSplitAndJoin(t *testing.T) {
	for _, size := range []int{0, 1, 100, 123, 124, 125, 126, 200, 250, 251, 252, 253, 254, 255, 600, 65520, 65530, 65535, 65536, 70000} {
		var b cryptobyte.Builder
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, size)) })
			b.AddASN1(asn1.BIT_STRING, func(b *cryptobyte.Builder) { b.AddBytes([]byte{0, 1}) })
		})
		der := b.BytesOrPanic()
		tbs, tail, err := SplitCertificate(der)
		if err != nil {
			t.Fatalf("%d octets: %v", size, err)
		}
		if got := JoinCertificate(tbs, tail); !bytes.Equal(got, der) {
			t.Errorf("%d octets: joined to %x, want %x", size, got[:8], der[:8])
		}
	}
	for name, der := range map[string][]byte{
		"empty": nil, "no sequence": {4, 0}, "nothing in it": {0x30, 0}, "no signature": {0x30, 2, 0x30, 0}, "too long": {0x30, 4, 0x30, 0, 3, 0, 0},
		"length not in DER": {0x30, 0x81, 4, 0x30, 0, 3, 0},
	} {
		if _, _, err := SplitCertificate(der); err == nil {
			t.Errorf("%s: split", name)
		}
	}
}
