package trustlist

import (
	"bytes"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/pki"
)

var update = flag.Bool("update", false, "write the golden files in testdata")

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil { //nolint:gosec // test data
		t.Fatal(err)
	}
}

// updateGolden writes certificates and lists of a new tree.
func updateGolden(t *testing.T) {
	t.Helper()
	tr := newTree(t)
	var all [][]byte
	for _, c := range append(tr.list().Certificates, tr.signer.cert) {
		all = append(all, c.Raw)
	}
	writeFile(t, "testdata/certificates.pem", pki.EncodePEM(pki.PEMCertificate, all...))
	for _, form := range Forms {
		writeFile(t, "testdata/list"+form.Extension(), tr.sign(t, tr.list(), form))
	}
}

// TestGolden holds the bytes of both forms, but for the signature, which is
// random, against files that were looked at with openssl asn1parse.
func TestGolden(t *testing.T) {
	if *update {
		updateGolden(t)
	}
	certificates, err := pki.ParseCertificatesPEM(readFile(t, "testdata/certificates.pem"), 8)
	if err != nil {
		t.Fatal(err)
	}
	trusted, signer := certificates[:4], certificates[4]
	want := List{Name: "industryca-ministry-g1", Sequence: 1772352000000000000, ThisUpdate: made, NextUpdate: made.Add(48 * time.Hour)}
	for _, form := range Forms {
		golden := readFile(t, "testdata/list"+form.Extension())
		s, err := Parse(golden)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(trusted[0], made.Add(time.Hour), 0); err != nil {
			t.Error(err)
		}
		got := s.List
		got.Certificates = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", form.Extension(), diff)
		}
		l := want
		l.Certificates = []*smx509.Certificate{trusted[2], trusted[0], trusted[3], trusted[1]} // in any order
		content, err := l.marshal()
		if err != nil {
			t.Fatal(err)
		}
		attributes, err := marshalAttributes(form, digestOf(content, form))
		if err != nil {
			t.Fatal(err)
		}
		der, err := marshalSigned(content, form, attributes, s.signature, signer, l.Certificates)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(der, golden) {
			t.Errorf("%s: the encoding changed: %d bytes, want %d", form.Extension(), len(der), len(golden))
		}
	}
}
