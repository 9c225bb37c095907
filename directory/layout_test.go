package directory_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/directorytest"
	"github.com/terrace-pki/terrace/internal/pki"
)

const base = "dc=example,dc=cn"

func newLayout(t testing.TB, naming directory.Naming, audience directory.Audience) *directory.Layout {
	t.Helper()
	l, err := directory.NewLayout(directory.LayoutConfig{Base: base, Naming: naming, Audience: audience})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func shown(w directory.Want) map[string]any {
	if w.Entry == nil {
		return nil
	}
	m := map[string]any{}
	for _, a := range w.Entry.Attributes {
		var values []string
		for _, v := range a.Values {
			if strings.HasSuffix(a.Type, ";binary") {
				v = []byte("DER")
			}
			values = append(values, string(v))
		}
		m[a.Type] = strings.Join(values, "|")
	}
	return m
}

func TestSubscriberEntry(t *testing.T) {
	ca := directorytest.NewCA(t, "businessca-province-g1")
	under := ",ou=businessca-province-g1," + base
	serial := string(directorytest.Serial(7))
	tests := map[string]struct {
		naming    directory.Naming
		audience  directory.Audience
		subject   pkix.Name
		wantDN    string
		wantEntry map[string]any
	}{
		"by serial": {directory.NamingSerial, directory.Business, directorytest.Person(7),
			"serialNumber=" + serial + under,
			map[string]any{"objectClass": "device|pkiUser", "cn": "张三7", "o": "人力资源和社会保障部", "serialNumber": serial, "userCertificate;binary": "DER"}},
		"public shows the name alone": {directory.NamingSerial, directory.Public, directorytest.Person(7),
			"serialNumber=" + serial + under,
			map[string]any{"objectClass": "device|pkiUser", "cn": "张三7", "serialNumber": serial, "userCertificate;binary": "DER"}},
		"by subject, escaped": {directory.NamingSubject, directory.Public, pkix.Name{CommonName: `#a, "b"+c`},
			`cn=\#a\, \"b\"\+c+serialNumber=` + serial + under,
			map[string]any{"objectClass": "device|pkiUser", "cn": `#a, "b"+c`, "serialNumber": serial, "userCertificate;binary": "DER"}},
		"by subject without CN": {directory.NamingSubject, directory.Public, pkix.Name{Organization: []string{"o"}},
			"serialNumber=" + serial + under,
			map[string]any{"objectClass": "device|pkiUser", "cn": serial, "serialNumber": serial, "userCertificate;binary": "DER"}},
		"by subject, too long": {directory.NamingSubject, directory.Public, pkix.Name{CommonName: strings.Repeat("长", 64)},
			"serialNumber=" + serial + under,
			map[string]any{"objectClass": "device|pkiUser", "cn": strings.Repeat("长", 64), "serialNumber": serial, "userCertificate;binary": "DER"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := directory.Publication{CA: ca.Name, Certificate: &directory.Certificate{
				Serial: directorytest.Serial(7), State: directory.StateIssued, DER: ca.Issue(t, directorytest.Serial(7), test.subject)}}
			l := newLayout(t, test.naming, test.audience)
			w, err := l.Want(p)
			if err != nil {
				t.Fatal(err)
			}
			if w.DN != test.wantDN {
				t.Errorf("DN: got %s, want %s", w.DN, test.wantDN)
			}
			if diff := cmp.Diff(test.wantEntry, shown(w)); diff != "" {
				t.Error(diff)
			}
			for _, state := range []directory.State{directory.StateHeld, directory.StateRevoked} {
				p.Certificate.State = state
				w, err := l.Want(p)
				if err != nil || w.DN != test.wantDN || w.Entry != nil || w.Withheld {
					t.Errorf("%s: got %+v, %v; want no entry under the same DN", state, w, err)
				}
			}
		})
	}
}

func TestPublicWithholdsIdentityNumbers(t *testing.T) {
	ca := directorytest.NewCA(t, "businessca-province-g1")
	tests := map[string]struct {
		subject    pkix.Name
		extensions []pkix.Extension
		want       bool
	}{
		"a name": {subject: directorytest.Person(1)},
		"another extension of a standard": {subject: directorytest.Person(1),
			extensions: []pkix.Extension{directorytest.Extension(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5})}},
		"a short number":              {subject: pkix.Name{CommonName: "server 12345"}},
		"letters with few digits":     {subject: pkix.Name{CommonName: "department12345"}},
		"short numbers side by side":  {subject: pkix.Name{CommonName: "10.0.0.1 2026-11-24"}},
		"identity number in parts":    {subject: pkix.Name{CommonName: "Zhang San 110101-19900307-1234"}, want: true},
		"identity number with spaces": {subject: pkix.Name{CommonName: "Zhang San 110101 19900307 123X"}, want: true},
		"with dots and slashes":       {subject: pkix.Name{CommonName: "110101.19900307/123"}, want: true},
		"passport":                    {subject: pkix.Name{CommonName: "Zhang San passport E12345678"}, want: true},
		"identity number in an otherName of UTF-16": {subject: directorytest.Person(1), want: true,
			extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: utf16Name("110101199003071234")}}},
		"extension under an OID that a profile chose": {subject: directorytest.Person(1), want: true,
			extensions: []pkix.Extension{directorytest.Extension(asn1.ObjectIdentifier{1, 2, 3, 4})}},
		"extension of GB/T 20518": {subject: directorytest.Person(1), want: true,
			extensions: []pkix.Extension{directorytest.Extension(asn1.ObjectIdentifier{1, 2, 156, 10260, 4, 1, 2})}},
		"subject serialNumber":  {subject: pkix.Name{CommonName: "a", SerialNumber: "1"}, want: true},
		"UID":                   {subject: pkix.Name{CommonName: "a", ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: "u"}}}, want: true},
		"identity number in CN": {subject: pkix.Name{CommonName: "051@张三@11010519491231002X@1"}, want: true},
		"long number in OU":     {subject: pkix.Name{CommonName: "a", OrganizationalUnit: []string{"110105491231002"}}, want: true},
		"identity number in subjectAltName": {subject: directorytest.Person(1), want: true,
			extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: append([]byte{0x30, 24, 0x82, 22}, "11010519491231002x.a.cn"[:22]...)}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := directory.Publication{CA: ca.Name, Certificate: &directory.Certificate{Serial: directorytest.Serial(1), State: directory.StateIssued,
				DER: ca.Issue(t, directorytest.Serial(1), test.subject, test.extensions...)}}
			w, err := newLayout(t, directory.NamingSerial, directory.Public).Want(p)
			if err != nil || w.Withheld != test.want || (w.Entry == nil) != test.want {
				t.Errorf("public: got %+v, %v; want withheld %t", w, err, test.want)
			}
			w, err = newLayout(t, directory.NamingSerial, directory.Business).Want(p)
			if err != nil || w.Withheld || w.Entry == nil {
				t.Errorf("business: got %+v, %v; want it shown", w, err)
			}
		})
	}
}

// utf16Name is a subjectAltName whose otherName has a BMPString.
func utf16Name(s string) []byte {
	octets := []byte{}
	for _, r := range s {
		octets = append(octets, 0, byte(r))
	}
	wrap := func(tag byte, parts ...[]byte) []byte {
		content := bytes.Join(parts, nil)
		return append([]byte{tag, byte(len(content))}, content...)
	}
	return wrap(0x30, wrap(0xA0, []byte{0x06, 0x02, 0x2A, 0x03}, wrap(0xA0, wrap(0x1E, octets))))
}

func TestBadPublications(t *testing.T) {
	ca := directorytest.NewCA(t, "businessca-province-g1")
	good := ca.Publication(t, 1, directory.StateIssued)
	tests := map[string]struct {
		p    directory.Publication
		says string
	}{
		"nothing":       {directory.Publication{CA: ca.Name}, "exactly one"},
		"two":           {directory.Publication{CA: ca.Name, Authority: &directory.Authority{}, Certificate: good.Certificate}, "exactly one"},
		"CA name":       {directory.Publication{CA: "a,dc=b", Certificate: good.Certificate}, "CA name"},
		"long CA name":  {directory.Publication{CA: strings.Repeat("a", 300), Certificate: good.Certificate}, "CA name"},
		"shard":         {directory.Publication{CA: ca.Name, Shard: &directory.Shard{Number: -1, CRL: []byte{1}}}, "shard -1"},
		"state":         {directory.Publication{CA: ca.Name, Certificate: &directory.Certificate{Serial: "01", State: "Lost"}}, "unknown"},
		"other serial":  {directory.Publication{CA: ca.Name, Certificate: &directory.Certificate{Serial: "02", State: directory.StateIssued, DER: good.Certificate.DER}}, "has serial number"},
		"no DER":        {directory.Publication{CA: ca.Name, Certificate: &directory.Certificate{Serial: "02", State: directory.StateIssued}}, "certificate:"},
		"serial number": {directory.Publication{CA: ca.Name, Certificate: &directory.Certificate{Serial: pki.Serial("x"), State: directory.StateRevoked}}, "serial number"},
	}
	for name, test := range tests {
		if _, err := newLayout(t, directory.NamingSerial, directory.Business).Want(test.p); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, test.says)
		}
	}
}

func TestNormalizeDN(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"case and spaces": {"CN=A  b , OU=X,dc=Cn", "cn=a b,ou=x,dc=cn"},
		"escapes":         {`cn=a\2Cb\+c\5C,dc=cn`, `cn=a\,b\+c\\,dc=cn`},
		"multi-valued":    {"serialNumber=01+cn=b,dc=cn", "cn=b+serialnumber=01,dc=cn"},
		"UTF-8":           {`cn=\E5\BC\A0,dc=cn`, "cn=张,dc=cn"},
	}
	for name, test := range tests {
		if got, err := directory.NormalizeDN(test.in); err != nil || got != test.want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, test.want)
		}
	}
	for _, bad := range []string{"", "cn", "cn=", "=a", "cn=a,", "cn=a\\", "cn=#0403", "cn=\"a\"", "cn=\xff", strings.Repeat("cn=a,", 40) + "cn=a", "cn=" + strings.Repeat("a", 2000)} {
		if got, err := directory.NormalizeDN(bad); err == nil {
			t.Errorf("%.40q: got %q, want an error", bad, got)
		}
	}
}
