package recovery

import (
	"bytes"
	"encoding/pem"
	"strings"
	"testing"
)

func block(content string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(content)}))
}

func TestReadPEM(t *testing.T) {
	big := block(strings.Repeat("x", maxPEM))
	for name, c := range map[string]struct {
		in   string
		want []string
		err  string
	}{
		"none":              {"", nil, ""},
		"text between":      {"serial 1\n" + block("a") + "\nserial 2\n" + block("b") + "end\n", []string{"a", "b"}, ""},
		"Windows line ends": {strings.ReplaceAll(block("a"), "\n", "\r\n"), []string{"a"}, ""},
		"another sort":      {strings.ReplaceAll(block("a"), "CERTIFICATE", "X509 CRL"), nil, ""},
		"cut off":           {block("a") + block("b")[:40], []string{"a"}, "ends within a certificate"},
		"no Base64":         {"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n", nil, "line 3: ends no PEM block"},
		"too large":         {big, nil, "more than"},
		"one endless line":  {strings.Repeat("x", maxPEM+1), nil, "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			err := readPEM(strings.NewReader(c.in), func(e Evidence) error { got = append(got, string(e.Certificate)); return nil })
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if strings.Join(got, ",") != strings.Join(c.want, ",") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzReadPEM(f *testing.F) {
	f.Add([]byte(block("a") + "text\n" + block("b")))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nProc-Type: x\n\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		n := 0
		err := readPEM(bytes.NewReader(in), func(e Evidence) error { n += len(e.Certificate); return nil })
		if err == nil && n > len(in) {
			t.Errorf("%d bytes out of %d", n, len(in))
		}
	})
}
