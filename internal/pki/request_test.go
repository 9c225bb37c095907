package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/internal/pki"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

func newKey(tb testing.TB) *sm2.PrivateKey {
	tb.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func requestPEM(tb testing.TB, key *sm2.PrivateKey) []byte {
	tb.Helper()
	der, err := pki.CreateRequest(key, mustName(tb, "CN=张三,C=CN"))
	if err != nil {
		tb.Fatal(err)
	}
	return pki.EncodePEM(pki.PEMRequest, der)
}

func TestCreateAndParseRequest(t *testing.T) {
	key := newKey(t)
	r, err := pki.ParseRequest(requestPEM(t, key))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.VerifyPossession(); err != nil {
		t.Error(err)
	}
	if err := r.IsSM2(); err != nil {
		t.Error(err)
	}
	pub, err := r.SM2PublicKey()
	if err != nil || !pub.Equal(&key.PublicKey) || r.Subject.String() != "CN=张三,C=CN" || r.SignatureAlgorithm != pki.OIDSM2WithSM3 {
		t.Errorf("got %v, %q, %s", err, r.Subject, r.SignatureAlgorithm)
	}
	// gmsm agrees.
	other, err := smx509.ParseCertificateRequest(r.DER)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.CheckSignature(); err != nil {
		t.Error(err)
	}
}

func TestRequestOfAnotherImplementation(t *testing.T) {
	key := newKey(t)
	template := &smx509.CertificateRequest{
		Subject: pkix.Name{Country: []string{"CN"}, CommonName: "a"}, DNSNames: []string{"a.example"},
		IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}, EmailAddresses: []string{"a@example.cn"},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 15}, Critical: true, Value: []byte{3, 2, 1, 6}}},
	}
	der, err := smx509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pki.ParseRequest(pki.EncodePEM("NEW CERTIFICATE REQUEST", der))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.VerifyPossession(); err != nil {
		t.Error(err)
	}
	want := pki.SubjectAltNames{DNS: []string{"a.example"}, IP: []net.IP{{10, 0, 0, 1}}, Email: []string{"a@example.cn"}}
	if diff := cmp.Diff(want, r.SubjectAltNames); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{pki.OIDKeyUsage}, r.IgnoredExtensions); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
}

func TestRequestWithAnotherKeyIsParsedAndDenied(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pki.ParseRequestDER(der)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := r.PublicKey.(*ecdsa.PublicKey); !ok || r.IsSM2() == nil || r.VerifyPossession() == nil || !r.Subject.IsEmpty() {
		t.Errorf("key %T, IsSM2 %v", r.PublicKey, r.IsSM2())
	}
}

// signedRequest signs info with key under an algorithm.
func signedRequest(t *testing.T, key *sm2.PrivateKey, spki, algorithm, attributes []byte) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddBytes(mustName(t, "CN=a").DER())
		b.AddBytes(spki)
		b.AddBytes(attributes)
	})
	info := b.BytesOrPanic()
	sig, err := key.SignMessage(rand.Reader, info, sm2.DefaultSM2SignerOpts)
	if err != nil {
		t.Fatal(err)
	}
	var out cryptobyte.Builder
	out.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(info)
		b.AddBytes(algorithm)
		b.AddASN1BitString(sig)
	})
	return out.BytesOrPanic()
}

func TestVerifyPossession(t *testing.T) {
	key := newKey(t)
	spki, err := pki.MarshalSPKI(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.MarshalSPKI(&newKey(t).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	offCurve := bytes.Clone(spki)
	offCurve[len(offCurve)-1]++
	absent := pki.SignatureAlgorithmDER()
	withNull := append(append([]byte{0x30, 0x0c}, absent[2:]...), 5, 0)
	tests := map[string]struct {
		spki, algorithm []byte
		want            string
	}{
		"absent":           {spki, absent, ""},
		"NULL":             {spki, withNull, ""},
		"other parameters": {spki, append(append([]byte{0x30, 0x0c}, absent[2:]...), 4, 0), "signature algorithm is"},
		"other algorithm":  {spki, unhex(t, "300a06082a8648ce3d040302"), "signature algorithm is 1.2.840.10045.4.3.2"},
		"another's key":    {other, absent, "does not verify"},
		"off the curve":    {offCurve, absent, "no point of the SM2 curve"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			r, err := pki.ParseRequestDER(signedRequest(t, key, tt.spki, tt.algorithm, nil))
			if err != nil {
				t.Fatal(err)
			}
			err = r.VerifyPossession()
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestParseRequestRefuses(t *testing.T) {
	key := newKey(t)
	good := requestPEM(t, key)
	parsed, err := pki.ParseRequest(good)
	if err != nil {
		t.Fatal(err)
	}
	der := parsed.DER
	long := bytes.Repeat([]byte{0}, pki.MaxRequestDER+1)
	tests := map[string]struct {
		in   []byte
		want string
	}{
		"nothing":        {nil, "has no block"},
		"text before":    {append([]byte("hello\n"), good...), "does not begin with -----BEGIN"},
		"two blocks":     {append(bytes.Clone(good), good...), "more than 1 blocks"},
		"another type":   {pki.EncodePEM(pki.PEMCertificate, der), `is "CERTIFICATE"`},
		"trailing data":  {pki.EncodePEM(pki.PEMRequest, append(bytes.Clone(der), 0)), "not one SEQUENCE"},
		"too long":       {pki.EncodePEM(pki.PEMRequest, long), "bytes of DER"},
		"far too long":   {bytes.Repeat([]byte("x"), 1<<20), "at most"},
		"truncated":      {pki.EncodePEM(pki.PEMRequest, der[:len(der)-1]), "not one SEQUENCE"},
		"broken armour":  {good[:len(good)-10], "malformed"},
		"with headers":   {bytes.Replace(good, []byte("REQUEST-----\n"), []byte("REQUEST-----\nA: b\n\n"), 1), "has headers"},
		"hidden between": {append([]byte("-----BEGIN X-----\n!\n"), good...), "malformed"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			if _, err := pki.ParseRequest(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	for n := range der {
		if _, err := pki.ParseRequestDER(der[:n]); err == nil {
			t.Fatalf("the first %d bytes were parsed", n)
		}
	}
}

func TestSubjectAltNames(t *testing.T) {
	tests := map[string]struct {
		names pki.SubjectAltNames
		want  string
	}{
		"all kinds": {pki.SubjectAltNames{
			DNS: []string{"*.example.cn", "xn--fiq228c.cn"}, IP: []net.IP{{1, 2, 3, 4}, net.ParseIP("2001:db8::1")},
			Email: []string{"a.b@example.cn"}, URI: []string{"https://a/b", "urn:a:b"},
		}, ""},
		"wildcard inside": {pki.SubjectAltNames{DNS: []string{"a.*.cn"}}, "outside letters"},
		"wildcard of TLD": {pki.SubjectAltNames{DNS: []string{"*.cn"}}, "outside letters"},
		"Chinese DNS":     {pki.SubjectAltNames{DNS: []string{"中文.cn"}}, "xn--"},
		"trailing dot":    {pki.SubjectAltNames{DNS: []string{"a.cn."}}, "label that is empty"},
		"long label":      {pki.SubjectAltNames{DNS: []string{strings.Repeat("a", 64) + ".cn"}}, "longer than 63"},
		"long name":       {pki.SubjectAltNames{DNS: []string{strings.Repeat("a.", 127)}}, "want 1 to 253"},
		"IP of 5":         {pki.SubjectAltNames{IP: []net.IP{{1, 2, 3, 4, 5}}}, "want 4 or 16"},
		"no at":           {pki.SubjectAltNames{Email: []string{"a.cn"}}, "local@domain"},
		"two ats":         {pki.SubjectAltNames{Email: []string{"a@b@c.cn"}}, "local@domain"},
		"relative":        {pki.SubjectAltNames{URI: []string{"/a"}}, "absolute"},
		"101 names":       {pki.SubjectAltNames{DNS: strings.Split(strings.Repeat("a,", 100)+"a", ",")}, "at most 100"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			err := tt.names.Validate()
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			der, err := tt.names.DER()
			if err != nil {
				t.Fatal(err)
			}
			got, err := pki.ParseSubjectAltNames(der)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.names, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := pki.ParseSubjectAltNames(unhex(t, "3004 a402 3000")); err == nil || !strings.Contains(err.Error(), "kind [4]") {
		t.Errorf("directoryName: got %v", err)
	}
}
