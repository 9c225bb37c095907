package pki

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// SplitCertificate cuts a certificate (RFC 5280 §4.1), DER, into its TBSCertificate
// and what follows it: the algorithm and the signature. They are parts of der, not copies.
func SplitCertificate(der []byte) (tbs, tail []byte, err error) {
	in := cryptobyte.String(der)
	var content, first cryptobyte.String
	if !in.ReadASN1(&content, asn1.SEQUENCE) || !in.Empty() || !content.ReadASN1Element(&first, asn1.SEQUENCE) || content.Empty() {
		return nil, nil, errors.New("certificate is no DER SEQUENCE of a TBSCertificate, an algorithm and a signature")
	}
	return first, content, nil
}

// JoinCertificate is the certificate that SplitCertificate cut.
func JoinCertificate(tbs, tail []byte) []byte {
	n := len(tbs) + len(tail)
	der := make([]byte, 0, n+5)
	switch {
	case n < 0x80:
		der = append(der, 0x30, byte(n))
	case n < 0x100:
		der = append(der, 0x30, 0x81, byte(n))
	case n < 0x10000:
		der = append(der, 0x30, 0x82, byte(n>>8), byte(n))
	default:
		der = append(der, 0x30, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(append(der, tbs...), tail...)
}
