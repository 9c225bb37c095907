package pki_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/internal/pki"
)

func mustName(tb testing.TB, s string) pki.Name {
	tb.Helper()
	n, err := pki.ParseName(s)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestParseName(t *testing.T) {
	tests := map[string]struct {
		in   string
		want string // String
		der  string
	}{
		"C is PrintableString": {"C=CN", "C=CN", "300d 310b 3009 0603550406 1302434e"},
		"Chinese":              {"CN=张三,C=CN", "CN=张三,C=CN", "301e 310b 3009 0603550406 1302434e 310f 300d 0603550403 0c06e5bca0e4b889"},
		"order, case, spaces":  {" cn = a b , o=\\ x", "CN=a b,O=\\ x", "301b 310b 3009 060355040a 0c022078 310c 300a 0603550403 0c03612062"},
		"serial number":        {"serialNumber=91-X", "SERIALNUMBER=91-X", "300f 310d 300b 0603550405 130439312d58"},
		"E is IA5String":       {"E=a@b.c", "E=a@b.c", "3016 3114 3012 06092a864886f70d010901 1605614062 2e63"},
		"DC is IA5String":      {"DC=cn", "DC=cn", "3014 3112 3010 060a0992268993f22c640119 1602636e"},
		"dotted":               {"1.2.3=x", "1.2.3=x", "300b 3109 3007 06022a03 0c0178"},
		"dotted of a short":    {"2.5.4.3=x", "CN=x", "300c 310a 3008 0603550403 0c0178"},
		"escapes":              {`CN=\2C\"\+\;\<\>\\\#\=`, `CN=\,\"\+\;\<\>\\#=`, "3014 3112 3010 0603550403 0c09 2c222b3b3c3e5c233d"},
		"escaped UTF-8":        {`CN=\E5\BC\A0`, "CN=张", "300e 310c 300a 0603550403 0c03e5bca0"},
		"equals in value":      {"CN=a=b", "CN=a=b", "300e 310c 300a 0603550403 0c03613d62"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			n, err := pki.ParseName(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := n.String(); got != tt.want {
				t.Errorf("String: got %q, want %q", got, tt.want)
			}
			if diff := cmp.Diff(unhex(t, tt.der), n.DER()); diff != "" {
				t.Errorf("DER (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseNameRefuses(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"empty":             {"", `no "="`},
		"no equals":         {"CN", `no "="`},
		"trailing comma":    {"CN=a,", `attribute 2: no "="`},
		"unknown type":      {"X=a", "is unknown"},
		"empty type":        {"=a", "is unknown"},
		"bad OID":           {"1.50.1=a", "no such root"},
		"blank":             {"CN= ", "value is blank"},
		"multi-valued":      {"CN=a+O=b", "multi-valued"},
		"hexadecimal":       {"CN=#0c0161", "hexadecimal are not supported"},
		"quoted":            {`CN="a"`, `write "\"`},
		"semicolon":         {"CN=a;O=b", `write "\;"`},
		"lone backslash":    {`CN=a\`, "backslash"},
		"NUL":               {`CN=a\00b`, "control character"},
		"newline":           {"CN=a\nb", "control character"},
		"bidi override":     {"CN=a\u202eb", "bidirectional"},
		"bidi isolate":      {"CN=a\u2067b", "bidirectional"},
		"line separator":    {"CN=a\u2028b", "control character"},
		"invalid UTF-8":     {"CN=\xff", "not valid UTF-8"},
		"escaped bad UTF-8": {`CN=\FF`, "not valid UTF-8"},
		"country":           {"C=CHN", "ISO 3166"},
		"serial characters": {"SERIALNUMBER=张", "PrintableString"},
		"mail characters":   {"E=张@b.c", "outside ASCII"},
		"long value":        {"CN=" + strings.Repeat("张", 257), "257 characters"},
		"many attributes":   {strings.TrimSuffix(strings.Repeat("OU=a,", 33), ","), "more than 32"},
		"much DER":          {strings.TrimSuffix(strings.Repeat("OU="+strings.Repeat("a", 250)+",", 9), ","), "in DER, at most 2048"},
		"much text":         {"CN=" + strings.Repeat(`\41`, 4000), "at most 8192"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			n, err := pki.ParseName(tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, %v; want %q", n.String(), err, tt.want)
			}
		})
	}
}

func TestParseNameDERKeepsBytes(t *testing.T) {
	tests := map[string]struct{ der, want string }{
		"PrintableString CN": {"300c 310a 3008 0603550403 130178", "CN=x"},
		"BMPString":          {"300f 310d 300b 0603550403 1e045f20 4e09", "CN=\u5f20\u4e09"},
		"empty":              {"3000", ""},
	}

	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			der := unhex(t, tt.der)
			n, err := pki.ParseNameDER(der)
			if err != nil {
				t.Fatal(err)
			}
			if n.String() != tt.want {
				t.Errorf("got %q, want %q", n, tt.want)
			}
			if diff := cmp.Diff(der, n.DER()); diff != "" {
				t.Errorf("DER (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseNameDERRefuses(t *testing.T) {
	tests := map[string]struct{ der, want string }{
		"trailing data":    {"300000", "not one SEQUENCE"},
		"long form length": {"308100", "not one SEQUENCE"},
		"multi-valued":     {"3016 3114 3008 0603550403 0c0178 3008 060355040a 0c0178", "more than one attribute"},
		"T61String":        {"300c 310a 3008 0603550403 140178", "not supported"},
		"NUL":              {"300c 310a 3008 0603550403 0c0100", "control character"},
		"odd BMPString":    {"300c 310a 3008 0603550403 1e0178", "odd number"},
		"bad UTF-8":        {"300c 310a 3008 0603550403 0c01ff", "not valid UTF-8"},
		"bad Printable":    {"300c 310a 3008 0603550403 13012a", "PrintableString"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			if n, err := pki.ParseNameDER(unhex(t, tt.der)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, %v; want %q", n.String(), err, tt.want)
			}
		})
	}
}

func TestNameWithin(t *testing.T) {
	tests := map[string]struct {
		name, base string
		want       bool
	}{
		"itself":           {"O=a,C=CN", "O=a,C=CN", true},
		"below":            {"CN=x,O=a,C=CN", "O=a,C=CN", true},
		"case and spaces":  {"CN=x,O=A  b,C=cn", "O=a B,C=CN", true},
		"above":            {"C=CN", "O=a,C=CN", false},
		"another value":    {"CN=x,O=ab,C=CN", "O=a,C=CN", false},
		"another type":     {"CN=x,OU=a,C=CN", "O=a,C=CN", false},
		"same, least":      {"C=CN,O=a,CN=x", "O=a,C=CN", false},
		"escaped look":     {`CN=x\,O=a,C=CN`, "O=a,C=CN", false},
		"hole":             {"O=a,L=b,C=CN", "O=a,C=CN", false},
		"non-ASCII letter": {"O=É,C=CN", "O=é,C=CN", true},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			if got := mustName(t, tt.name).Within(mustName(t, tt.base)); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if mustName(t, "C=CN").Within(pki.Name{}) {
		t.Error("a name is within an empty base")
	}
}

func TestNameEqual(t *testing.T) {
	a := mustName(t, "CN=x,C=CN")
	if !a.Equal(mustName(t, "CN=X,C=cn")) || a.Equal(mustName(t, "C=CN")) || a.Equal(mustName(t, "C=CN,CN=x")) || a.Equal(pki.Name{}) || !(pki.Name{}).Equal(pki.Name{}) {
		t.Error("Equal is wrong")
	}
	want := []pki.Attribute{{Type: "C", OID: "2.5.4.6", Value: "CN"}, {Type: "CN", OID: "2.5.4.3", Value: "x"}}
	if diff := cmp.Diff(want, a.Attributes()); diff != "" {
		t.Errorf("Attributes (-want +got):\n%s", diff)
	}
	if v, ok := a.Value("2.5.4.3"); !ok || v != "x" {
		t.Errorf("Value: got %q", v)
	}
}
