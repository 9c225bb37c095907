package ocsp_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/ocsp/ocsptest"
	"github.com/terrace-pki/terrace/internal/pki"
)

var start = time.Date(2026, 3, 1, 8, 0, 0, 250e6, time.UTC)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func seq(tag int, parts ...[]byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.Tag(tag), func(b *cryptobyte.Builder) { b.AddBytes(bytes.Join(parts, nil)) })
	return b.BytesOrPanic()
}

// Hand-written parts of requests.
var (
	certID     = seq(0x30, []byte{0x30, 7, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a}, seq(4, make([]byte, 20)), seq(4, make([]byte, 20)), []byte{2, 1, 5})
	single     = seq(0x30, certID)
	nonceOID   = []byte{6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2}
	otherOID   = []byte{6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 4}
	trueDER    = []byte{1, 1, 0xff}
	falseDER   = []byte{1, 1, 0}
	nullOctets = seq(4, []byte{5, 0})
)

func nonceOf(n int) []byte { return seq(0x30, nonceOID, seq(4, seq(4, make([]byte, n)))) }

func extensions(exts ...[]byte) []byte { return seq(0xa2, seq(0x30, exts...)) }

func request(parts ...[]byte) []byte { return seq(0x30, seq(0x30, parts...)) }

func TestParseRequest(t *testing.T) {
	list := seq(0x30, single)
	withSerial := func(serial string) []byte {
		return request(seq(0x30, seq(0x30, seq(0x30, []byte{0x30, 7, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a}, seq(4), seq(4), unhex(t, serial)))))
	}
	withHash := func(algorithm string) []byte {
		return request(seq(0x30, seq(0x30, seq(0x30, unhex(t, algorithm), seq(4), seq(4), []byte{2, 1, 5}))))
	}
	tests := map[string]struct {
		der        []byte
		wantErr    string
		wantHash   ocsp.Hash
		wantSerial pki.Serial
		wantNonce  int
		wantN      int
	}{
		"plain":                   {der: request(list), wantHash: ocsp.SHA1, wantSerial: "05"},
		"SHA-256, no parameters":  {der: withHash("300b 0609 608648016503040201"), wantHash: ocsp.SHA256, wantSerial: "05"},
		"SM3 with NULL":           {der: withHash("300c 0608 2a811ccf55018311 0500"), wantHash: ocsp.SM3, wantSerial: "05"},
		"SHA-384":                 {der: withHash("300b 0609 608648016503040202"), wantHash: ocsp.HashUnknown, wantSerial: "05"},
		"SHA-1 with a parameter":  {der: withHash("300a 0605 2b0e03021a 020101"), wantHash: ocsp.HashUnknown, wantSerial: "05"},
		"two parameters":          {der: withHash("300b 0605 2b0e03021a 0500 0500"), wantErr: "malformed parameters"},
		"no algorithm":            {der: withHash("3000"), wantErr: "no AlgorithmIdentifier"},
		"requestor name":          {der: request(seq(0xa1, seq(0x82, []byte("a.example"))), list), wantHash: ocsp.SHA1, wantSerial: "05"},
		"empty requestor name":    {der: request(seq(0xa1), list), wantErr: "requestorName"},
		"signed":                  {der: seq(0x30, seq(0x30, list), seq(0xa0, seq(0x30))), wantHash: ocsp.SHA1, wantSerial: "05"},
		"signature of junk":       {der: seq(0x30, seq(0x30, list), seq(0xa0, seq(4))), wantErr: "optionalSignature"},
		"nonce of 1":              {der: request(list, extensions(nonceOf(1))), wantHash: ocsp.SHA1, wantSerial: "05", wantNonce: 1},
		"nonce of 128":            {der: request(list, extensions(nonceOf(128))), wantHash: ocsp.SHA1, wantSerial: "05", wantNonce: 128},
		"nonce of 0":              {der: request(list, extensions(nonceOf(0))), wantErr: "nonce has 0 octets"},
		"nonce of 129":            {der: request(list, extensions(nonceOf(129))), wantErr: "nonce has 129 octets"},
		"nonce twice":             {der: request(list, extensions(nonceOf(8), nonceOf(8))), wantErr: "twice"},
		"nonce without its tag":   {der: request(list, extensions(seq(0x30, nonceOID, seq(4, make([]byte, 8))))), wantErr: "no OCTET STRING"},
		"critical nonce":          {der: request(list, extensions(seq(0x30, nonceOID, trueDER, seq(4, seq(4, make([]byte, 4)))))), wantHash: ocsp.SHA1, wantSerial: "05", wantNonce: 4},
		"other extension":         {der: request(list, extensions(seq(0x30, otherOID, nullOctets))), wantHash: ocsp.SHA1, wantSerial: "05"},
		"critical extension":      {der: request(list, extensions(seq(0x30, otherOID, trueDER, nullOctets))), wantErr: "critical and not known"},
		"critical FALSE":          {der: request(list, extensions(seq(0x30, otherOID, falseDER, nullOctets))), wantErr: "not in DER"},
		"critical single":         {der: request(seq(0x30, seq(0x30, certID, seq(0xa0, seq(0x30, seq(0x30, otherOID, trueDER, nullOctets)))))), wantErr: "request 1: singleRequestExtensions"},
		"no extensions inside":    {der: request(list, seq(0xa2, seq(0x30))), wantErr: "at least one"},
		"17 extensions":           {der: request(list, extensions(bytes.Repeat(seq(0x30, otherOID, nullOctets), 17))), wantErr: "more than 16"},
		"explicit version":        {der: request(unhex(t, "a003020100"), list), wantErr: "version"},
		"no requests":             {der: request(seq(0x30)), wantErr: "empty"},
		"32 requests":             {der: request(seq(0x30, bytes.Repeat(single, 32))), wantHash: ocsp.SHA1, wantSerial: "05", wantN: 32},
		"33 requests":             {der: request(seq(0x30, bytes.Repeat(single, 33))), wantErr: "more than 32"},
		"bytes after":             {der: append(request(list), 0), wantErr: "bytes after its end"},
		"long form of a length":   {der: unhex(t, "30810430023000"), wantErr: "no SEQUENCE in DER"},
		"indefinite length":       {der: unhex(t, "30800000"), wantErr: "no SEQUENCE in DER"},
		"empty":                   {wantErr: "no SEQUENCE"},
		"too long":                {der: make([]byte, ocsp.MaxRequest+1), wantErr: "at most 16384"},
		"text":                    {der: []byte("GET / HTTP/1.1\r\n\r\n"), wantErr: "no SEQUENCE"},
		"serial of 20 octets":     {der: withSerial("0214" + strings.Repeat("7f", 20)), wantHash: ocsp.SHA1, wantSerial: pki.Serial(strings.Repeat("7F", 20))},
		"serial with leading 0":   {der: withSerial("020200ff"), wantHash: ocsp.SHA1, wantSerial: "FF"},
		"serial of 21 octets":     {der: withSerial("0215" + strings.Repeat("7f", 21)), wantHash: ocsp.SHA1},
		"serial 0":                {der: withSerial("020100"), wantHash: ocsp.SHA1},
		"negative serial":         {der: withSerial("0201ff"), wantHash: ocsp.SHA1},
		"serial in no DER":        {der: withSerial("02020005"), wantErr: "serialNumber"},
		"negative, in no DER":     {der: withSerial("0202ffff"), wantErr: "serialNumber"},
		"serial without an octet": {der: withSerial("0200"), wantErr: "serialNumber"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ocsp.ParseRequest(test.der)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("error is %v, want one with %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := max(test.wantN, 1); len(got.CertIDs) != want {
				t.Fatalf("%d CertIDs, want %d", len(got.CertIDs), want)
			}
			id := got.CertIDs[0]
			if id.Hash != test.wantHash || id.Serial != test.wantSerial || len(got.Nonce) != test.wantNonce {
				t.Errorf("hash %d serial %q nonce of %d, want %d %q %d", id.Hash, id.Serial, len(got.Nonce), test.wantHash, test.wantSerial, test.wantNonce)
			}
			if !bytes.Contains(test.der, id.Raw) {
				t.Error("CertID.Raw is not a part of the request")
			}
		})
	}
}

func TestParseRequestTruncated(t *testing.T) {
	whole := request(seq(0x30, single, single), extensions(nonceOf(16)))
	if _, err := ocsp.ParseRequest(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := ocsp.ParseRequest(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are taken", n, len(whole))
		}
	}
}

func TestRequestOfOpenSSL(t *testing.T) {
	ca := ocsptest.NewCA(t, "a", time.Now())
	cert := ca.Issue(t, ca.ResponderKey, time.Now(), time.Now().Add(time.Hour))
	issuer, leaf := ocsptest.WritePEM(t, ca.Certificate), ocsptest.WritePEM(t, cert)
	for name, hash := range map[string]ocsp.Hash{"-sha1": ocsp.SHA1, "-sha256": ocsp.SHA256, "-sm3": ocsp.SM3} {
		for _, nonce := range []string{"-nonce", "-no_nonce"} {
			t.Run(name+nonce, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "request")
				ocsptest.OpenSSL(t, "ocsp", name, "-issuer", issuer, "-cert", leaf, nonce, "-reqout", file)
				der, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				got, err := ocsp.ParseRequest(der)
				if err != nil {
					t.Fatal(err)
				}
				want := []ocsp.CertID{ca.CertID(t, hash, pki.SerialFromInt(cert.SerialNumber))}
				if diff := cmp.Diff(want, got.CertIDs); diff != "" {
					t.Errorf("CertIDs (-want +got):\n%s", diff)
				}
				if (got.Nonce != nil) != (nonce == "-nonce") || !ca.Issuer.Match(got.CertIDs[0]) {
					t.Errorf("nonce of %d octets, match %t", len(got.Nonce), ca.Issuer.Match(got.CertIDs[0]))
				}
			})
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	ca := ocsptest.NewCA(f, "fuzz", start)
	for _, h := range []ocsp.Hash{ocsp.SHA1, ocsp.SHA256, ocsp.SM3} {
		f.Add(ca.Request(f, h, nil, "05"))
		f.Add(ca.Request(f, h, make([]byte, 16), "05", "01AB"))
	}
	f.Add(request(seq(0xa1, seq(0x82, []byte("a.example"))), seq(0x30, single), extensions(seq(0x30, otherOID, nullOctets), nonceOf(32))))
	f.Add(seq(0x30, seq(0x30, seq(0x30, single)), seq(0xa0, seq(0x30))))
	f.Add([]byte{})
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		got, err := ocsp.ParseRequest(der)
		if err != nil {
			return
		}
		again, err := ocsp.MarshalRequest(got.Nonce, got.CertIDs...)
		if err != nil {
			t.Fatalf("what was parsed cannot be written: %v", err)
		}
		back, err := ocsp.ParseRequest(again)
		if err != nil {
			t.Fatalf("what was written cannot be parsed: %v", err)
		}
		if diff := cmp.Diff(got, back); diff != "" {
			t.Errorf("changed on the way (-first +second):\n%s", diff)
		}
	})
}
