package lint

import (
	"bytes"
	encasn1 "encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var fieldChecks = []Check[*CertificateInput]{
	{"version-3", "RFC 5280 §4.1.2.1", func(c *CertificateInput) error {
		if c.Version != 3 {
			return fmt.Errorf("version is %d, want 3", c.Version)
		}
		return nil
	}},
	{"serial-positive", "RFC 5280 §4.1.2.2", func(c *CertificateInput) error { return serialPositive(c.Serial) }},
	{"serial-length", "RFC 5280 §4.1.2.2", func(c *CertificateInput) error {
		if len(c.Serial) > 20 {
			return fmt.Errorf("serial number has %d octets, at most 20 are allowed", len(c.Serial))
		}
		return nil
	}},
	{"algorithm-same", "RFC 5280 §4.1.1.2", func(c *CertificateInput) error {
		return algorithmSame(c.InnerAlgorithm, c.OuterAlgorithm)
	}},
	{"algorithm-sm2-sm3", "GM/T 0015 (signatureAlgorithm), GB/T 33560-2017 Annex A", func(c *CertificateInput) error {
		return algorithmSM2(c.InnerAlgorithm)
	}},
	{"issuer-name", "RFC 5280 §4.1.2.4, §6.1.3", func(c *CertificateInput) error {
		want := c.SubjectDER
		if c.Issuer != nil {
			want = c.Issuer.RawSubject
		}
		if !bytes.Equal(c.IssuerDER, want) {
			return errors.New("issuer is not, byte for byte, the subject of the issuer certificate")
		}
		return nil
	}},
	{"issuer-is-ca", "RFC 5280 §4.2.1.3, §4.2.1.9, §6.1.4 (k), (n)", func(c *CertificateInput) error {
		if i := c.Issuer; i != nil && (!i.BasicConstraintsValid || !i.IsCA || i.KeyUsage&smx509.KeyUsageCertSign == 0) {
			return errors.New("the issuer certificate is not one of a CA with keyCertSign")
		}
		return nil
	}},
	{"time-encoding", "RFC 5280 §4.1.2.5", func(c *CertificateInput) error {
		return errors.Join(named("notBefore", c.NotBefore.checkEncoding()), named("notAfter", c.NotAfter.checkEncoding()))
	}},
	{"time-order", "RFC 5280 §4.1.2.5", func(c *CertificateInput) error {
		before, err1 := c.NotBefore.time()
		after, err2 := c.NotAfter.time()
		if err1 == nil && err2 == nil && !before.Before(after) {
			return errors.New("notBefore is not before notAfter")
		}
		return nil
	}},
	{"validity-within-issuer", "GM/T 0034-2014 (a certificate ends no later than its CA's)", validityWithinIssuer},
	{"subject-present", "RFC 5280 §4.1.2.6", func(c *CertificateInput) error {
		if len(c.SubjectDER) <= 2 {
			return errors.New("subject is empty")
		}
		return nil
	}},
	{"subject-form", "RFC 5280 §4.1.2.4, §4.1.2.6, Appendix A", subjectForm},
	{"no-unique-identifiers", "RFC 5280 §4.1.2.8", func(c *CertificateInput) error {
		if c.UniqueIDs {
			return errors.New("has issuerUniqueID or subjectUniqueID")
		}
		return nil
	}},
	{"signature-form", "GM/T 0009-2012 §7.3", func(c *CertificateInput) error { return signatureForm(c.Signature) }},
}

func named(field string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

// serialPositive looks at the content of an INTEGER.
func serialPositive(serial []byte) error {
	switch {
	case len(serial) == 0 || len(serial) == 1 && serial[0] == 0:
		return errors.New("serial number is zero")
	case serial[0] >= 0x80:
		return errors.New("serial number is negative")
	}
	return nil
}

func algorithmSame(inner, outer []byte) error {
	if !bytes.Equal(inner, outer) {
		return errors.New("the algorithm inside the signed part is not, byte for byte, the one outside")
	}
	return nil
}

func algorithmSM2(inner []byte) error {
	if !bytes.Equal(inner, pki.SignatureAlgorithmDER()) {
		return fmt.Errorf("algorithm is not %s with absent parameters", pki.OIDSM2WithSM3)
	}
	return nil
}

func signatureForm(sig []byte) error {
	in := cryptobyte.String(sig)
	var seq, r, s cryptobyte.String
	if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() ||
		!seq.ReadASN1(&r, cbasn1.INTEGER) || !seq.ReadASN1(&s, cbasn1.INTEGER) || !seq.Empty() ||
		serialPositive(r) != nil || serialPositive(s) != nil || len(r) > 33 || len(s) > 33 {
		return errors.New("signature is not SEQUENCE { r INTEGER, s INTEGER } of positive numbers of at most 256 bits")
	}
	return nil
}

func validityWithinIssuer(c *CertificateInput) error {
	before, err1 := c.NotBefore.time()
	after, err2 := c.NotAfter.time()
	if c.Issuer == nil || err1 != nil || err2 != nil {
		return nil
	}
	if before.Before(c.Issuer.NotBefore) || after.After(c.Issuer.NotAfter) {
		return fmt.Errorf("is valid from %s to %s, its issuer from %s to %s", before.Format(time.RFC3339), after.Format(time.RFC3339),
			c.Issuer.NotBefore.UTC().Format(time.RFC3339), c.Issuer.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// subjectForm reads the name within the bounds of package pki and demands the
// string type of the attributes where RFC 5280 Appendix A leaves no choice. O,
// CN and the like may be any type, for a CA keeps the bytes of its request.
func subjectForm(c *CertificateInput) error {
	if _, err := pki.ParseNameDER(c.SubjectDER); err != nil {
		return err
	}
	in := cryptobyte.String(c.SubjectDER)
	var rdns cryptobyte.String
	in.ReadASN1(&rdns, cbasn1.SEQUENCE)
	for !rdns.Empty() {
		var set, pair, value cryptobyte.String
		var oid encasn1.ObjectIdentifier
		var tag cbasn1.Tag
		if !rdns.ReadASN1(&set, cbasn1.SET) || !set.ReadASN1(&pair, cbasn1.SEQUENCE) ||
			!pair.ReadASN1ObjectIdentifier(&oid) || !pair.ReadAnyASN1(&value, &tag) {
			return errors.New("subject is malformed")
		}
		if want, ok := fixedStringTypes[oid.String()]; ok && tag != want {
			return fmt.Errorf("subject attribute %s has string type %d, want %d", oid, tag, want)
		}
	}
	return nil
}

var fixedStringTypes = map[string]cbasn1.Tag{
	"2.5.4.6":                    cbasn1.PrintableString, // countryName
	"2.5.4.5":                    cbasn1.PrintableString, // serialNumber
	"1.2.840.113549.1.9.1":       cbasn1.IA5String,       // emailAddress
	"0.9.2342.19200300.100.1.25": cbasn1.IA5String,       // domainComponent
}

// time reads a UTCTime or GeneralizedTime, whichever was used.
func (s stamp) time() (time.Time, error) {
	layout := "20060102150405Z"
	switch s.tag {
	case cbasn1.UTCTime:
		// RFC 5280 §4.1.2.5.1: 50 to 99 are 19xx. The package time splits at 69.
		if len(s.raw) < 2 {
			return time.Time{}, errors.New("is malformed")
		}
		century := "20"
		if s.raw[0] >= '5' {
			century = "19"
		}
		return parseTime(layout, century+string(s.raw))
	case cbasn1.GeneralizedTime:
		return parseTime(layout, string(s.raw))
	}
	return time.Time{}, errors.New("is neither UTCTime nor GeneralizedTime")
}

func parseTime(layout, s string) (time.Time, error) {
	if len(s) != len(layout) {
		return time.Time{}, errors.New("is not in whole seconds with Z")
	}
	t, err := time.Parse(layout, s)
	if err != nil {
		return time.Time{}, errors.New("is not in whole seconds with Z")
	}
	return t, nil
}

func (s stamp) checkEncoding() error {
	t, err := s.time()
	switch {
	case err != nil:
		return err
	case t.Year() < 2050 && s.tag != cbasn1.UTCTime:
		return errors.New("is not UTCTime although it is before 2050")
	}
	return nil
}
