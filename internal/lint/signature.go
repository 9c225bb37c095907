package lint

import (
	"errors"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

// signatureInRange wants r and s in [1, n-1] (GB/T 32918.2-2016 §7.1).
func signatureInRange(sig []byte) error {
	if signatureForm(sig) != nil {
		return nil // signature-form
	}
	in := cryptobyte.String(sig)
	var r, s cryptobyte.String
	in.ReadASN1(&in, cbasn1.SEQUENCE)
	in.ReadASN1(&r, cbasn1.INTEGER)
	in.ReadASN1(&s, cbasn1.INTEGER)
	n := sm2.P256().Params().N
	if new(big.Int).SetBytes(r).Cmp(n) >= 0 || new(big.Int).SetBytes(s).Cmp(n) >= 0 {
		return errors.New("r or s is not below the order of the curve: the signature verifies under no key")
	}
	return nil
}

// signatureVerifies looks at the signature over the first element of a signed
// SEQUENCE under a key. A signature in a wrong form or range is not its business.
func signatureVerifies(raw, sig, spki []byte) error {
	in := cryptobyte.String(raw)
	var outer, tbs cryptobyte.String
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1Element(&tbs, cbasn1.SEQUENCE) {
		return errors.New("signed part is malformed")
	}
	return verifySignature(tbs, sig, spki)
}

func verifySignature(tbs, sig, spki []byte) error {
	if signatureForm(sig) != nil || signatureInRange(sig) != nil || !minimalIntegers(sig) {
		return nil
	}
	key, err := pki.ParseSM2SPKI(spki)
	if err != nil {
		return nil // key-sm2 of the issuer's certificate
	}
	if !pki.VerifySignature(key, tbs, sig) {
		return errors.New("signature does not verify under the issuer's key with ID 1234567812345678")
	}
	return nil
}

// minimalIntegers says whether r and s are in DER.
func minimalIntegers(sig []byte) bool {
	return walk(sig, 0, func(e element) error {
		if v := e.content; e.tag == cbasn1.INTEGER && len(v) > 1 && v[0] == 0 && v[1] < 0x80 {
			return errors.New("not minimal")
		}
		return nil
	}) == nil
}

func signatureMinimal(sig []byte) error {
	if signatureForm(sig) == nil && !minimalIntegers(sig) {
		return errors.New("r or s is not in the fewest octets")
	}
	return nil
}

// issuerSPKI is the key to verify under; ok is false when it is not known.
func (c *CertificateInput) issuerSPKI() (spki []byte, ok bool) {
	switch {
	case c.Issuer != nil:
		return c.Issuer.RawSubjectPublicKeyInfo, true
	case c.selfIssued():
		return c.SPKI, true
	}
	return nil, false
}

var signatureRules = []rule[*CertificateInput]{
	{"signature-minimal", SeverityError, kindsCertificate, "GM/T 0009-2012 §7.3, X.690 §8.3.2", "r and s are in the fewest octets", func(c *CertificateInput) error {
		return signatureMinimal(c.Signature)
	}},
	{"signature-range", SeverityError, kindsCertificate, "GB/T 32918.2-2016 §7.1", "r and s are below the order of the curve", func(c *CertificateInput) error {
		return signatureInRange(c.Signature)
	}},
	{"signature-verifies", SeverityError, kindsCertificate, "RFC 5280 §6.1.3 (a) (1), GM/T 0009-2012 §10", "the signature verifies under the issuer's key, when that is known", func(c *CertificateInput) error {
		spki, ok := c.issuerSPKI()
		if !ok || !pki.IsSignatureAlgorithm(c.InnerAlgorithm) {
			return nil
		}
		return signatureVerifies(c.raw, c.Signature, spki)
	}},
}
