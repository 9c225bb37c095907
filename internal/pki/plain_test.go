package pki

import (
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// FuzzPlainValues: what is plainly good is good for the full check as well, as
// text and as bytes.
func FuzzPlainValues(f *testing.F) {
	for _, s := range []string{
		"", " ", "张三", "a b", "a\u202eb", "\u2028", "\x00", "é", "CN", "a.example", "-a.b", "a-.b", "*.a.b", "a..b", ".a", "a.",
		strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a", "a@b.c", "@b", "a@", "a@b@c", "a b@c", "http://a/", "https://a.b/c_d-e.f/g",
		"http://", "http:///a", "http://a:1/", "http://a/%zz", "http://a?b", "ldap://a/b", "urn:a:b", "http://a" + strings.Repeat("/", 1100),
	} {
		f.Add(s, MaxNameValue)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		tests := map[string]struct {
			text, bytes bool
			full        error
		}{
			"text":   {isPlainText(s, limit), isPlainText([]byte(s), limit), fullyCheckText(s, limit)},
			"DNS":    {isPlainDNS(s), isPlainDNS([]byte(s)), fullyCheckDNS(s)},
			"e-mail": {isPlainEmail(s), isPlainEmail([]byte(s)), fullyCheckEmail(s)},
			"URI":    {isPlainURI(s), isPlainURI([]byte(s)), fullyCheckURI(s)},
		}
		for kind, tt := range tests {
			if tt.text != tt.bytes || tt.text && tt.full != nil {
				t.Errorf("%s %q: plain as text %v, as bytes %v; full check: %v", kind, s, tt.text, tt.bytes, tt.full)
			}
		}
	})
}

// FuzzPlainDER is the same for names and alternative names as a whole.
func FuzzPlainDER(f *testing.F) {
	for _, s := range []string{"CN=张三,O=Ministry,C=CN", "E=a@b.c,SERIALNUMBER=1,DC=cn", "1.2.3.4=x", "SERIALNUMBER=a@b"} {
		if n, err := ParseName(s); err == nil {
			f.Add(n.DER())
		}
	}
	san, err := SubjectAltNames{DNS: []string{"a.b", "*.a.b"}, IP: []net.IP{{10, 0, 0, 1}}, Email: []string{"a@b.c"}, URI: []string{"http://a/"}}.DER()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(san)
	f.Add([]byte{0x30, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		if _, err := ParseNameDER(der); isPlainName(der) && err != nil {
			t.Errorf("plain name %x: %v", der, err)
		}
		if _, err := ParseSubjectAltNames(der); isPlainSubjectAltNames(der) && err != nil {
			t.Errorf("plain alternative names %x: %v", der, err)
		}
	})
}

// TestPlainIsReached: the forms that most certificates have take the short way.
func TestPlainIsReached(t *testing.T) {
	n, err := ParseName("CN=张三 李四,O=Ministry of X (中),SERIALNUMBER=A-1,C=CN")
	if err != nil {
		t.Fatal(err)
	}
	san := build(t, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for tag, v := range map[cbasn1.Tag]string{tagDNS: "a-1.example", tagRFC822: "zhang.san_1@a.cn", tagURI: "https://a.cn/x", tagIP: "\x0a\x00\x00\x01"} {
				b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(v)) })
			}
		})
	})
	if !isPlainName(n.DER()) || !isPlainSubjectAltNames(san) || !isPlainURI("http://crl.example/1.crl") {
		t.Error("an everyday form is not plain")
	}
	der := n.DER()
	if got := testing.AllocsPerRun(100, func() {
		if CheckNameDER(der) != nil || CheckSubjectAltNamesDER(san) != nil {
			t.Error("refused")
		}
	}); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
