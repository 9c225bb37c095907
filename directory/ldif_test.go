package directory

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLDIFRoundTrip(t *testing.T) {
	entries := []Entry{
		NewEntry("dc=cn", text("objectClass", "domain"), text("dc", "cn")),
		NewEntry("cn=张三,dc=cn", text("cn", "张三"), text("l", " lead", "trail ", ":colon", "<less", "", strings.Repeat("long ", 40)+"."),
			Attribute{"userCertificate;binary", [][]byte{bytes.Repeat([]byte{0, 1, 0xff}, 500)}}),
	}
	var out bytes.Buffer
	n, err := WriteLDIF(t.Context(), &out, func(_ context.Context, yield func(Entry) error) error {
		for _, e := range entries {
			if err := yield(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || n != 2 {
		t.Fatalf("WriteLDIF: %d, %v", n, err)
	}
	for i, line := range strings.Split(out.String(), "\n") {
		if len(line) > ldifColumns {
			t.Errorf("line %d has %d columns", i+1, len(line))
		}
	}
	in := newLDIFReader(&out)
	for _, want := range entries {
		got, deleted, err := in.next()
		if err != nil || deleted {
			t.Fatalf("got %v, %t, %v", got, deleted, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if _, _, err := in.next(); err != io.EOF {
		t.Errorf("at the end: got %v, want EOF", err)
	}
}

func TestLDIFRefuses(t *testing.T) {
	tests := map[string]struct{ in, says string }{
		"modify":            {"dn: dc=cn\nchangetype: modify\nadd: l\nl: x\n", "add or delete"},
		"URL":               {"dn: dc=cn\nl:< file:///etc/passwd\n", "by URL"},
		"no dn":             {"l: x\n", "want dn"},
		"bad dn":            {"dn: x\n", "DN"},
		"no colon":          {"dn: dc=cn\nabc\n", "<type>: <value>"},
		"bad Base64":        {"dn: dc=cn\nl:: ****\n", "not Base64"},
		"version":           {"version: 2\n\ndn: dc=cn\nl: x\n", "version"},
		"no attributes":     {"dn: dc=cn\n", "has attributes"},
		"delete with some":  {"dn: dc=cn\nchangetype: delete\nl: x\n", "has attributes"},
		"long line":         {"dn: dc=cn\nl: " + strings.Repeat("x", maxLDIFPhysical) + "\n", "fold"},
		"too many values":   {"dn: dc=cn\n" + strings.Repeat("l: x\n", MaxLDIFValues+1), "values"},
		"type with a space": {"dn: dc=cn\na b: x\n", "malformed"},
	}
	for name, test := range tests {
		_, _, err := newLDIFReader(strings.NewReader(test.in)).next()
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want an error that says %q", name, err, test.says)
		}
	}
}

// FuzzLDIF: what is read can be written, and reads the same again.
func FuzzLDIF(f *testing.F) {
	f.Add("version: 1\n\ndn: dc=cn\nobjectClass: domain\ndc: cn\n")
	f.Add("# c\n folded\ndn:: ZGM9Y24=\nchangetype: add\nl: a\n b\nl:: AAE=\n\n\ndn: cn=x,dc=cn\nchangetype: delete\n")
	f.Add("dn: cn=a\\,b+serialNumber=01,dc=cn\r\ncn: a,b\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		in := newLDIFReader(strings.NewReader(s))
		for {
			e, deleted, err := in.next()
			if err != nil {
				return
			}
			if _, err := NormalizeDN(e.DN); err != nil {
				t.Fatalf("a DN that does not parse: %v", err)
			}
			var out bytes.Buffer
			w := newLDIFWriter(&out)
			changeType := "add"
			if deleted {
				changeType = "delete"
			}
			if err := w.entry(e, changeType); err != nil {
				t.Fatal(err)
			}
			if err := w.flush(); err != nil {
				t.Fatal(err)
			}
			again, deletedAgain, err := newLDIFReader(&out).next()
			if err != nil || deletedAgain != deleted || !again.Equal(e) {
				t.Fatalf("wrote %q, read %v, %t, %v; want %v, %t", out.String(), again, deletedAgain, err, e, deleted)
			}
		}
	})
}

func FuzzDN(f *testing.F) {
	f.Add(`cn=\#a\, \"b\"\+c+serialNumber=01,ou=x,dc=cn`)
	f.Add(`cn=\E5\BC\A0 ,dc=cn`)
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDN(s)
		if err != nil {
			return
		}
		if len(d.String()) > MaxDN {
			return // escapes may take more room than in s
		}
		again, err := parseDN(d.String())
		if err != nil || again.key() != d.key() {
			t.Fatalf("%q: wrote %q, read %v, %v", s, d.String(), again, err)
		}
	})
}
