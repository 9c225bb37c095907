package lint

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/pki"
)

func TestGoodOnesTripNothing(t *testing.T) {
	for desc, make := range map[string]func(t *testing.T) *CertificateInput{
		"signing": subscriber, "encryption": encryption, "ca": authority, "root": root, "ocsp-signer": responder, "tsa": stamper,
	} {
		c := make(t)
		if found := examined(t, c); len(found) != 0 {
			t.Errorf("%s: %v", desc, found)
		}
		if desc != "root" {
			c.Issuer = nil
			if found := examined(t, c); len(found) != 0 {
				t.Errorf("%s, issuer not known: %v", desc, found)
			}
		}
		in, err := parseCertificate(certificateDER(t, c), Context{})
		if err != nil {
			t.Fatal(err)
		}
		if want, _, _ := strings.Cut(desc, ","); in.detect().String() != want && desc != "root" {
			t.Errorf("%s: is taken for %s", desc, in.detect())
		}
	}
	for desc, c := range map[string]*CRLInput{"arl": list(t), "crl": userList(t), "crl, delta-crl": deltaList(t)} {
		if found := examinedList(t, c); len(found) != 0 {
			t.Errorf("%s: %v", desc, found)
		}
		if in, err := parseCRL(crlDER(t, c), Context{}); err != nil || in.detect().String() != desc {
			t.Errorf("%s: is taken for %s, %v", desc, in.detect(), err)
		}
	}
	byName := answer(t)
	byName.ByKey, byName.ByName = nil, nameDER(t, "CN=张三,C=CN")
	refusal := &ResponseInput{Status: 6, Type: oidOCSPBasic}
	for _, r := range []*ResponseInput{answer(t), byName, refusal} {
		if found := examinedResponse(t, r); len(found) != 0 {
			t.Errorf("response: %v", found)
		}
	}
	if found := examinedRequest(t, asked(t)); len(found) != 0 {
		t.Errorf("request: %v", found)
	}
}

// trips are the fixtures of the wider set by name of rule; a second one of the
// same rule stands after a slash. Each trips its rule and no other.
func trips() map[string]func(t *testing.T) []Finding {
	all := map[string]func(t *testing.T) []Finding{}
	for _, part := range []map[string]func(t *testing.T) []Finding{
		derTrips, signatureTrips, nameTrips, purposeTrips, accessTrips, policyTrips, identityTrips, listTrips, entryTrips, responseTrips, requestTrips,
	} {
		for name, f := range part {
			all[name] = f
		}
	}
	return all
}

func TestEachFixtureTripsItsRule(t *testing.T) {
	for key, f := range trips() {
		t.Run(key, func(t *testing.T) {
			got := f(t)
			if diff := cmp.Diff([]string{base(key)}, checkNames(got)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, got)
			}
		})
	}
}

// TestExamineHasTheGatesChecks: what the gate stops, Examine finds, with the
// severity of the list.
func TestExamineHasTheGatesChecks(t *testing.T) {
	for key, b := range brokenCertificates {
		if gate[base(key)].gateOnly {
			continue
		}
		c := subscriber(t)
		if b.ca {
			c = authority(t)
		}
		b.breakIt(t, c)
		c.kind = 0
		got := examined(t, c)
		if !slices.ContainsFunc(got, func(f Finding) bool { return f.Check == base(key) && f.Severity == gate[base(key)].severity }) {
			t.Errorf("%s: got %v", key, got)
		}
	}
	for key, breakIt := range brokenCRLs {
		if gate[base(key)].gateOnly {
			continue
		}
		c := list(t)
		breakIt(t, c)
		if got := checkNames(examinedList(t, c)); !slices.Contains(got, base(key)) {
			t.Errorf("%s: got %v", key, got)
		}
	}
}

func TestEveryLintIsDescribedAndHasAFixture(t *testing.T) {
	fixtures := map[string]bool{CheckCertificateForm: true, CheckCRLForm: true} // TestMalformed...
	for key := range brokenCertificates {
		fixtures[base(key)] = true
	}
	for key := range brokenCRLs {
		fixtures[base(key)] = true
	}
	for key := range trips() {
		fixtures[base(key)] = true
	}
	names := map[string]bool{}
	for _, l := range Lints() {
		if !fixtures[l.Name] {
			t.Errorf("lint %s has no fixture", l.Name)
		}
		if names[l.Name] || l.Source == "" || l.Demands == "" || l.Kinds == 0 || l.Name != strings.ToLower(l.Name) {
			t.Errorf("lint %s is there twice or not described: %+v", l.Name, l)
		}
		names[l.Name] = true
	}
	for name := range fixtures {
		if !names[name] {
			t.Errorf("fixture %s is of no lint", name)
		}
	}
}

// TestDocumented compares the page with the list; run it with
// UPDATE_DOCS=1 to write the page anew.
func TestDocumented(t *testing.T) {
	const path, mark = "../../docs/lints.md", "<!-- generated below: internal/lint TestDocumented -->\n"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := bytes.Cut(page, []byte(mark))
	if !ok {
		t.Fatalf("%s has no line %q", path, mark)
	}
	want := string(head) + mark + "\n" + Table()
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Errorf("%s is not the list; run UPDATE_DOCS=1 go test -run TestDocumented ./internal/lint", path)
	}
}

// broken examines a subscriber's certificate that f broke.
func broken(f func(t *testing.T, c *CertificateInput)) func(t *testing.T) []Finding {
	return of(subscriber, f)
}

func of(make func(t *testing.T) *CertificateInput, f func(t *testing.T, c *CertificateInput)) func(t *testing.T) []Finding {
	return func(t *testing.T) []Finding {
		c := make(t)
		f(t, c)
		return examined(t, c)
	}
}

// with examines one with another extension.
func with(oid string, critical bool, value ...byte) func(t *testing.T) []Finding {
	return broken(func(_ *testing.T, c *CertificateInput) { c.set(Extension{oid, critical, value}) })
}

func caWith(oid string, critical bool, value ...byte) func(t *testing.T) []Finding {
	return of(authority, func(_ *testing.T, c *CertificateInput) { c.set(Extension{oid, critical, value}) })
}

const private = "1.2.3.4"

var derTrips = map[string]func(t *testing.T) []Finding{
	"der-integer-minimal":  with(private, false, 2, 2, 0, 1),
	"der-boolean":          with(private, false, 1, 1, 1),
	"der-bit-string":       with(private, false, 3, 2, 1, 1),
	"der-oid-minimal":      with(private, false, 6, 3, 0x2a, 0x80, 1),
	"der-null":             with(private, false, 5, 1, 0),
	"der-primitive":        with(private, false, 0x2c, 3, 0x0c, 1, 'a'),
	"der-utf8-string":      with(private, false, 0x0c, 1, 0xff),
	"der-printable-string": with(private, false, 0x13, 1, '*'),
	"der-ia5-string":       with(private, false, 0x16, 1, 0xff),
	"extension-value-der":  with(private, false, 1),
	"der-integer-minimal/serial": broken(func(_ *testing.T, c *CertificateInput) {
		c.Serial = append([]byte{0}, c.Serial...)
	}),
	"der-integer-minimal/response": func(t *testing.T) []Finding {
		r := answer(t)
		r.Extensions = append(r.Extensions, Extension{private, false, []byte{2, 2, 0, 1}})
		return examinedResponse(t, r)
	},
}

var signatureTrips = map[string]func(t *testing.T) []Finding{
	"signature-minimal": broken(func(_ *testing.T, c *CertificateInput) { c.Signature = []byte{0x30, 7, 2, 2, 0, 1, 2, 1, 1} }),
	"signature-range": broken(func(t *testing.T, c *CertificateInput) {
		c.Signature = outOfRange(t)
	}),
	"signature-verifies": broken(func(t *testing.T, c *CertificateInput) { c.Issuer = another(t, c.Issuer) }),
	"signature-verifies/root": of(root, func(t *testing.T, c *CertificateInput) {
		c.Signature = signature(t, []byte("something else"), issuerD)
	}),
}

func outOfRange(t *testing.T) []byte {
	n := tlv(t, cbasn1.INTEGER, append([]byte{0}, bytes.Repeat([]byte{0xff}, 32)...))
	return tlv(t, cbasn1.SEQUENCE, slices.Concat(n, n))
}

// rdns writes a Name of attributes, one RDN for each.
func rdns(t *testing.T, attributes ...attribute) []byte {
	return tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		for _, a := range attributes {
			b.AddBytes(tlv(t, cbasn1.SET, pair(t, a)))
		}
	}))
}

func pair(t *testing.T, a attribute) []byte {
	oid, err := pki.ParseOID(a.oid)
	if err != nil {
		t.Fatal(err)
	}
	return tlv(t, cbasn1.SEQUENCE, der(t, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(a.tag, func(b *cryptobyte.Builder) { b.AddBytes(a.value) })
	}))
}

// subject examines a certificate with C=CN, CN=a and further attributes.
func subject(more ...attribute) func(t *testing.T) []Finding {
	return subjectOf(append([]attribute{country("CN"), commonName("a")}, more...)...)
}

func subjectOf(all ...attribute) func(t *testing.T) []Finding {
	return broken(func(t *testing.T, c *CertificateInput) { c.SubjectDER = rdns(t, all...) })
}

func country(v string) attribute {
	return attribute{oid: oidCountry, tag: cbasn1.PrintableString, value: []byte(v)}
}
func commonName(v string) attribute {
	return attribute{oid: oidCommonName, tag: cbasn1.UTF8String, value: []byte(v)}
}
func unit(tag cbasn1.Tag, v string) attribute {
	return attribute{oid: "2.5.4.11", tag: tag, value: []byte(v)}
}

var nameTrips = map[string]func(t *testing.T) []Finding{
	"name-form":          broken(func(_ *testing.T, c *CertificateInput) { c.SubjectDER = []byte{0x30, 2, 0x30, 0} }),
	"issuer-present":     broken(func(_ *testing.T, c *CertificateInput) { c.Issuer, c.IssuerDER = nil, []byte{0x30, 0} }),
	"subject-not-issuer": broken(func(_ *testing.T, c *CertificateInput) { c.SubjectDER = c.IssuerDER }),
	"name-rdn-single": broken(func(t *testing.T, c *CertificateInput) {
		c.SubjectDER = tlv(t, cbasn1.SEQUENCE, tlv(t, cbasn1.SET, slices.Concat(pair(t, commonName("a")), pair(t, country("CN")))))
	}),
	"name-fixed-string-types":     subjectOf(commonName("a"), attribute{oid: oidCountry, tag: cbasn1.UTF8String, value: []byte("CN")}),
	"name-directory-string":       subject(unit(bmpString, "\x5f\x20")),
	"name-upper-bound":            subject(unit(cbasn1.UTF8String, strings.Repeat("张", 65))),
	"name-value-present":          subject(unit(cbasn1.UTF8String, " ")),
	"name-space-around":           subject(unit(cbasn1.UTF8String, "a ")),
	"name-control-characters":     subject(unit(cbasn1.UTF8String, "a\u202eb")),
	"name-country-letters":        subjectOf(commonName("a"), country("CHN")),
	"name-country-upper-case":     subjectOf(commonName("a"), country("cn")),
	"name-email-deprecated":       subject(attribute{oid: oidEmailAddress, tag: cbasn1.IA5String, value: []byte("a@b.cn")}),
	"name-known-attributes":       subject(attribute{oid: "2.5.4.13", tag: cbasn1.UTF8String, value: []byte("a")}),
	"subject-country-present":     subjectOf(commonName("a")),
	"subject-country-once":        subject(country("CN")),
	"subject-common-name-present": subjectOf(country("CN")),
	"subject-common-name-once":    subject(commonName("b")),
}

func usage(u pki.KeyUsage) func(t *testing.T, c *CertificateInput) {
	return func(t *testing.T, c *CertificateInput) { c.set(keyUsage(t, u, true)) }
}

var purposeTrips = map[string]func(t *testing.T) []Finding{
	"serial-entropy":    broken(func(_ *testing.T, c *CertificateInput) { c.Serial = []byte{1} }),
	"not-after-defined": of(root, func(_ *testing.T, c *CertificateInput) { c.NotAfter = generalized("99991231235959Z") }),
	"key-not-issuers": broken(func(t *testing.T, c *CertificateInput) {
		c.SPKI = c.Issuer.RawSubjectPublicKeyInfo
		c.set(keyIDs(t, c.SPKI, c.SPKI)[1])
	}),
	"key-usage-known-bits": broken(func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDKeyUsage, true, []byte{3, 3, 6, 0xc0, 0x40}})
	}),
	"key-usage-only-with-agreement": of(encryption, func(t *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDKeyUsage, true, []byte{3, 2, 0, 0x31}}) // keyEncipherment, dataEncipherment, encipherOnly
	}),
	"signing-digital-signature": broken(func(t *testing.T, c *CertificateInput) {
		usage(pki.KeyUsageContentCommitment)(t, c)
		c.Extensions = drop(c.Extensions, pki.OIDExtKeyUsage)
	}),
	"encryption-encipherment":  of(encryption, usage(pki.KeyUsageKeyAgreement)),
	"ext-key-usage-consistent": of(encryption, func(t *testing.T, c *CertificateInput) { c.set(extKeyUsage(t, false, oidCodeSigning)) }),
	"ocsp-ext-key-usage":       of(responder, func(t *testing.T, c *CertificateInput) { c.kind = KindOCSPSigner; plain(t, c) }),
	"ocsp-ext-key-usage-alone": of(responder, func(t *testing.T, c *CertificateInput) {
		c.set(extKeyUsage(t, false, pki.OIDExtKeyUsageOCSPSigning, oidClientAuth))
	}),
	"ocsp-key-usage": of(responder, usage(pki.KeyUsageKeyEncipherment)),
	"ocsp-lifetime":  of(responder, func(_ *testing.T, c *CertificateInput) { c.NotAfter = utc("280201000000Z") }),
	"no-check-for-responders": broken(func(_ *testing.T, c *CertificateInput) {
		c.set(Extension{pki.OIDOCSPNoCheck, false, []byte{5, 0}})
	}),
	"tsa-ext-key-usage":   broken(func(_ *testing.T, c *CertificateInput) { c.kind = KindTSA }),
	"tsa-key-usage":       of(stamper, usage(pki.KeyUsageKeyEncipherment)),
	"ca-no-ext-key-usage": of(authority, func(t *testing.T, c *CertificateInput) { c.set(extKeyUsage(t, false, oidClientAuth)) }),
	"ca-path-length-present": of(authority, func(t *testing.T, c *CertificateInput) {
		unlimited := *c.Issuer
		unlimited.MaxPathLen, unlimited.MaxPathLenZero = -1, false
		c.Issuer = &unlimited
		c.set(Extension{pki.OIDBasicConstraints, true, marshal(t, basicConstraints{true, -1})})
	}),
	"ca-key-id-not-issuers": of(authority, func(t *testing.T, c *CertificateInput) {
		c.SPKI = c.Issuer.RawSubjectPublicKeyInfo
		c.set(keyIDs(t, c.SPKI, c.SPKI)[1])
	}),
}

// plain makes a responder's certificate one without extended usage, that is
// checked like any other.
func plain(t *testing.T, c *CertificateInput) {
	c.Extensions = drop(drop(c.Extensions, pki.OIDExtKeyUsage), pki.OIDOCSPNoCheck)
	c.set(points(t))
	c.set(Extension{pki.OIDAuthorityInfoAccess, false, accessDER(t, pki.OIDAccessOCSP, "http://ocsp/")})
}

func BenchmarkExamineCertificate(b *testing.B) {
	t := &testing.T{}
	c := subscriber(t)
	der := sign(t, certificateDER(t, c), issuerD)
	b.ReportAllocs()
	for b.Loop() {
		if found := ExamineCertificate(der, c.Context, 0); len(found) != 0 {
			b.Fatal(found)
		}
	}
}
