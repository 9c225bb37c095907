package pkcs11

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/emmansun/gmsm/sm2"
)

func TestParsePoint(t *testing.T) {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecdhKey, err := sm2.PublicKeyToECDH(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	bare := ecdhKey.Bytes()
	octets, err := asn1.Marshal(bare)
	if err != nil {
		t.Fatal(err)
	}
	offCurve := bytes.Clone(bare)
	offCurve[64] ^= 1
	offCurveOctets, err := asn1.Marshal(offCurve)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		value  []byte
		form   PointForm
		wantOK bool
	}{
		"bare as bare":             {bare, BarePoint, true},
		"bare as auto":             {bare, AutoPoint, true},
		"bare as octet string":     {bare, OctetStringPoint, false},
		"octets as octet string":   {octets, OctetStringPoint, true},
		"octets as auto":           {octets, AutoPoint, true},
		"octets as bare":           {octets, BarePoint, false},
		"empty":                    {nil, AutoPoint, false},
		"trailing byte":            {append(bytes.Clone(octets), 0), AutoPoint, false},
		"short":                    {bare[:64], AutoPoint, false},
		"compressed":               {append([]byte{2}, bare[1:33]...), AutoPoint, false},
		"compressed octets":        {append([]byte{4, 33, 2}, bare[1:33]...), AutoPoint, false},
		"off the curve":            {offCurve, AutoPoint, false},
		"off the curve, in octets": {offCurveOctets, AutoPoint, false},
		"infinity":                 {make([]byte, 65), BarePoint, false},
	} {
		t.Run(name, func(t *testing.T) {
			pub, err := parsePoint(tc.value, tc.form)
			if (err == nil) != tc.wantOK {
				t.Fatalf("parsePoint: %v, want success %v", err, tc.wantOK)
			}
			if tc.wantOK && !pub.Equal(&key.PublicKey) {
				t.Error("another point came back")
			}
		})
	}
}

func TestToDER(t *testing.T) {
	der := func(r, s *big.Int) []byte {
		b, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	high := bytes.Repeat([]byte{0xfe}, 64) // both need a leading zero in DER
	small := make([]byte, 64)
	small[31], small[63] = 1, 2
	highDER := der(new(big.Int).SetBytes(high[:32]), new(big.Int).SetBytes(high[32:]))
	smallDER := der(big.NewInt(1), big.NewInt(2))
	for name, tc := range map[string]struct {
		sig  []byte
		form SignatureForm
		want []byte // nil: refused
	}{
		"raw as raw":          {high, RawSignature, highDER},
		"raw as auto":         {high, AutoSignature, highDER},
		"raw as DER":          {high, DERSignature, nil},
		"small raw":           {small, RawSignature, smallDER},
		"DER as DER":          {highDER, DERSignature, highDER},
		"DER as auto":         {highDER, AutoSignature, highDER},
		"DER as raw":          {highDER, RawSignature, nil},
		"small DER as auto":   {smallDER, AutoSignature, smallDER},
		"empty as auto":       {nil, AutoSignature, nil},
		"empty as raw":        {nil, RawSignature, nil},
		"trailing byte":       {append(bytes.Clone(highDER), 0), AutoSignature, nil},
		"one integer":         {[]byte{0x30, 3, 2, 1, 1}, AutoSignature, nil},
		"three integers":      {[]byte{0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1}, AutoSignature, nil},
		"padded integer":      {[]byte{0x30, 7, 2, 2, 0, 1, 2, 1, 1}, AutoSignature, nil},
		"raw, one byte short": {high[:63], RawSignature, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := toDER(tc.sig, tc.form)
			if (err == nil) != (tc.want != nil) || !bytes.Equal(got, tc.want) {
				t.Errorf("toDER = %x, %v; want %x", got, err, tc.want)
			}
		})
	}
}

// FuzzForms: what a broken module returns must not crash us, and what is taken
// for a signature or point must be one.
func FuzzForms(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Add(make([]byte, 65))
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Add([]byte{4, 65, 4, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, form := range []SignatureForm{AutoSignature, RawSignature, DERSignature} {
			der, err := toDER(value, form)
			if err != nil {
				continue
			}
			var sig struct{ R, S *big.Int }
			if rest, err := asn1.Unmarshal(der, &sig); err != nil || len(rest) > 0 {
				t.Errorf("toDER(%x, %s) = %x, no DER: %v", value, form, der, err)
			}
		}
		for _, form := range []PointForm{AutoPoint, OctetStringPoint, BarePoint} {
			if pub, err := parsePoint(value, form); err == nil && !sm2.IsSM2PublicKey(pub) {
				t.Errorf("parsePoint(%x, %s) is not on the curve", value, form)
			}
		}
	})
}
