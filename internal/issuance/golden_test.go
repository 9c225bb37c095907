package issuance_test

import (
	"bytes"
	"encoding/pem"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
)

var update = flag.Bool("update", false, "write the golden files in testdata")

// TestGolden compares whole TBS bytes: SM2 signatures are random, so what is
// signed is all that can be compared.
func TestGolden(t *testing.T) {
	rootKey, caKey, subscriberKey := fixedKey(t, 1001), fixedKey(t, 1002), fixedKey(t, 1003)
	rootCert := root(t, rootKey)
	caCert := issue(t, rootKey, caOrder(t, rootCert, &caKey.PublicKey))
	encryption := subscriberOrder(t, caCert, &subscriberKey.PublicKey)
	encryption.Profile.KeyUsage = pki.KeyUsagesEncryption
	encryption.Profile.ExtKeyUsage = nil
	beyond2049 := rootOrder(t, &rootKey.PublicKey)
	beyond2049.Profile.Validity = 262800 * 3600 * 1e9
	responder := issuance.Order{
		Profile: pki.ResponderProfile(24 * 3600 * 1e9), Subject: name(t, "CN=OCSP,O=Ministry,C=CN"),
		PublicKey: &subscriberKey.PublicKey, Serial: "7FFF", Issuer: caCert, Now: now,
	}
	tests := map[string]issuance.Order{
		"root":       beyond2049,
		"ca":         caOrder(t, rootCert, &caKey.PublicKey),
		"signing":    subscriberOrder(t, caCert, &subscriberKey.PublicKey),
		"encryption": encryption,
		"responder":  responder,
	}
	for file, o := range tests {
		t.Run(file, func(t *testing.T) {
			token, err := issuance.Prepare(o)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", file+".tbs.pem")
			if *update {
				if err := os.WriteFile(path, pki.EncodePEM("TBS CERTIFICATE", token.TBS()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; run go test -update", err)
			}
			block, _ := pem.Decode(b)
			if block == nil || !bytes.Equal(block.Bytes, token.TBS()) {
				t.Errorf("TBS differs from %s; look at both with openssl asn1parse -i", path)
			}
			// Structure, so that a change is readable.
			want, got := masked(t, block.Bytes), masked(t, token.TBS())
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

type structure struct {
	Serial, NotBefore, NotAfter string
	Extensions                  []string
}

// masked parses a TBS under a signature of nothing.
func masked(t *testing.T, tbs []byte) structure {
	t.Helper()
	der, err := pki.AssembleSigned(tbs, []byte{0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := smx509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := structure{cert.SerialNumber.Text(16), cert.NotBefore.String(), cert.NotAfter.String(), nil}
	for _, e := range cert.Extensions {
		s.Extensions = append(s.Extensions, e.Id.String())
	}
	return s
}
