package lint

import (
	"bytes"
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
		return errors.Join(named("notBefore", c.NotBefore.encodingOf(c.read.notBefore)), named("notAfter", c.NotAfter.encodingOf(c.read.notAfter)))
	}},
	{"time-order", "RFC 5280 §4.1.2.5", func(c *CertificateInput) error {
		before, after := c.read.notBefore, c.read.notAfter
		if before.err == nil && after.err == nil && !before.Before(after.Time) {
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
	if !pki.IsWrittenSignatureAlgorithm(inner) {
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
	before, after := c.read.notBefore, c.read.notAfter
	if c.Issuer == nil || before.err != nil || after.err != nil {
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
	if err := pki.CheckNameDER(c.SubjectDER); err != nil {
		return err
	}
	in := cryptobyte.String(c.SubjectDER)
	var rdns cryptobyte.String
	in.ReadASN1(&rdns, cbasn1.SEQUENCE)
	for !rdns.Empty() {
		var set, pair, value cryptobyte.String
		var tag cbasn1.Tag
		if !rdns.ReadASN1(&set, cbasn1.SET) || !set.ReadASN1(&pair, cbasn1.SEQUENCE) {
			return errors.New("subject is malformed")
		}
		oid, ok := pki.ReadOID(&pair)
		if !ok || !pair.ReadAnyASN1(&value, &tag) {
			return errors.New("subject is malformed")
		}
		if want, ok := fixedStringTypes[oid]; ok && tag != want {
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

// moment reads a UTCTime or GeneralizedTime, whichever was used.
func (s stamp) moment() moment {
	t, err := s.time()
	return moment{t, err}
}

func (s stamp) time() (time.Time, error) {
	switch s.tag {
	case cbasn1.UTCTime:
		// RFC 5280 §4.1.2.5.1: 50 to 99 are 19xx. The package time splits at 69.
		if len(s.raw) < 2 {
			return time.Time{}, errors.New("is malformed")
		}
		century := 2000
		if s.raw[0] >= '5' {
			century = 1900
		}
		return parseTime(century, s.raw, 2)
	case cbasn1.GeneralizedTime:
		return parseTime(0, s.raw, 4)
	}
	return time.Time{}, errors.New("is neither UTCTime nor GeneralizedTime")
}

// parseTime reads a year of so many digits, counted from century, then month,
// day, hour, minute and second of two digits each, and Z.
func parseTime(century int, raw []byte, yearDigits int) (time.Time, error) {
	if len(raw) != yearDigits+11 || raw[len(raw)-1] != 'Z' {
		return time.Time{}, errors.New("is not in whole seconds with Z")
	}
	var fields [6]int
	rest := raw
	for i := range fields {
		width := 2
		if i == 0 {
			width = yearDigits
		}
		for _, c := range rest[:width] {
			if c < '0' || c > '9' {
				return time.Time{}, errors.New("is not in whole seconds with Z")
			}
			fields[i] = 10*fields[i] + int(c-'0')
		}
		rest = rest[width:]
	}
	year, month, day, hour, minute, second := century+fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	// Date carries what is out of range over; a time that changed was none.
	if month < 1 || month > 12 || t.Day() != day || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, errors.New("is not in whole seconds with Z")
	}
	return t, nil
}

func (s stamp) checkEncoding() error { return s.encodingOf(s.moment()) }

func (s stamp) encodingOf(m moment) error {
	switch {
	case m.err != nil:
		return m.err
	case m.Year() < 2050 && s.tag != cbasn1.UTCTime:
		return errors.New("is not UTCTime although it is before 2050")
	}
	return nil
}
