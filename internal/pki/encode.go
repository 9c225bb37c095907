package pki

import (
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// AddTime writes a Time of RFC 5280 §4.1.2.5 in whole seconds: UTCTime up to
// 2049, GeneralizedTime from 2050.
func AddTime(b *cryptobyte.Builder, t time.Time) {
	t = t.UTC().Truncate(time.Second)
	switch y := t.Year(); {
	case y < 1950 || y > 9999:
		b.SetError(fmt.Errorf("time %s: year is outside 1950 to 9999", t.Format(time.RFC3339)))
	case y < 2050:
		b.AddASN1UTCTime(t)
	default:
		b.AddASN1GeneralizedTime(t)
	}
}

// AddExtension writes an Extension of RFC 5280 §4.1; oid is dotted.
func AddExtension(b *cryptobyte.Builder, oid string, critical bool, value []byte) {
	id, err := ParseOID(oid)
	if err != nil {
		b.SetError(err)
		return
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1OctetString(value)
	})
}

// AuthorityKeyIDDER is the extnValue of an authorityKeyIdentifier that holds
// the key identifier alone (RFC 5280 §4.2.1.1).
func AuthorityKeyIDDER(keyID []byte) ([]byte, error) {
	e := NewEncoder(len(keyID) + 12)
	e.Nest(cbasn1.SEQUENCE, func() { e.Octets(cbasn1.Tag(0).ContextSpecific(), keyID) })
	return e.Bytes()
}

// AddDistributionPointName writes distributionPoint [0] with a fullName of one
// or more URIs (RFC 5280 §4.2.1.13), as DistributionPoint and
// IssuingDistributionPoint share it.
func AddDistributionPointName(b *cryptobyte.Builder, uris ...string) {
	b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			for _, u := range uris {
				b.AddASN1(tagURI, func(b *cryptobyte.Builder) { b.AddBytes([]byte(u)) })
			}
		})
	})
}
