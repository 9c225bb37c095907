package issuance_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/lint"
	"github.com/terrace-pki/terrace/internal/pki"
)

// agree prepares an order with p and with the reference implementation and
// says whether it was good. A good one parses.
func agree(t *testing.T, p *issuance.Preparer, o issuance.Order) bool {
	t.Helper()
	wantTBS, wantFindings, wantErr := prepareReference(o)
	token, err := p.Prepare(o)
	var linted *issuance.LintError
	var findings []lint.Finding
	if errors.As(err, &linted) {
		findings = linted.Findings
	}
	if diff := cmp.Diff(wantFindings, findings); diff != "" {
		t.Fatalf("findings (-reference +got):\n%s", diff)
	}
	if (err == nil) != (wantErr == nil && len(wantFindings) == 0) {
		t.Fatalf("got error %v, reference %v", err, wantErr)
	}
	if err != nil {
		return false
	}
	if !bytes.Equal(wantTBS, token.TBS()) {
		t.Fatalf("TBS\n%x, reference\n%x", token.TBS(), wantTBS)
	}
	return true
}

func TestReference(t *testing.T) {
	rootKey, caKey, key := fixedKey(t, 1001), fixedKey(t, 1002), fixedKey(t, 1003)
	rootCert := root(t, rootKey)
	caCert := issue(t, rootKey, caOrder(t, rootCert, &caKey.PublicKey))
	subscriber := func(change func(*issuance.Order)) issuance.Order {
		o := subscriberOrder(t, caCert, &key.PublicKey)
		change(&o)
		return o
	}
	tests := map[string]struct {
		order issuance.Order
		good  bool
	}{
		"root":       {rootOrder(t, &rootKey.PublicKey), true},
		"ca":         {caOrder(t, rootCert, &caKey.PublicKey), true},
		"subscriber": {subscriber(func(*issuance.Order) {}), true},
		"responder": {issuance.Order{
			Profile: pki.ResponderProfile(24 * time.Hour), Subject: name(t, "CN=OCSP,C=CN"),
			PublicKey: &key.PublicKey, Serial: "7FFF", Issuer: caCert, Now: now,
		}, true},
		"no URLs":                  {subscriber(func(o *issuance.Order) { o.IssuerURLs = pki.URLs{} }), true},
		"long serial":              {subscriber(func(o *issuance.Order) { o.Serial = "80112233445566778899AABBCCDDEEFF00112233" }), false},
		"serial that is no number": {subscriber(func(o *issuance.Order) { o.Serial = "XY" }), false},
		"CA as deep as its issuer": {func() issuance.Order {
			o := caOrder(t, rootCert, &caKey.PublicKey)
			o.Profile.CA = &pki.CAConstraints{PathLen: 1}
			return o
		}(), false},
		"issuer is no CA": {subscriber(func(o *issuance.Order) {
			o.Issuer = issue(t, caKey, subscriberOrder(t, caCert, &key.PublicKey))
		}), false},
		"anyExtendedKeyUsage": {subscriber(func(o *issuance.Order) { o.Profile.ExtKeyUsage = []string{"2.5.29.37.0"} }), false},
		"URI that smx509 refuses": {subscriber(func(o *issuance.Order) {
			o.Profile.SANTypes, o.SubjectAltNames.URI = append(o.Profile.SANTypes, pki.SANURI), []string{"http://a..b/"}
		}), false},
		"name in BMPString that smx509 refuses": {issuance.Order{
			Profile: pki.ResponderProfile(24 * time.Hour), PublicKey: &key.PublicKey, Serial: "05", Issuer: caCert, Now: now,
			Subject: nameOf(t, []byte{0x30, 0x0d, 0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03, 0x1e, 0x02, 0xfd, 0xd0}),
		}, false},
	}
	var p issuance.Preparer
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			if got := agree(t, &p, tt.order); got != tt.good {
				t.Errorf("good: got %v, want %v", got, tt.good)
			}
		})
	}
}

func nameOf(t *testing.T, der []byte) pki.Name {
	t.Helper()
	n, err := pki.ParseNameDER(der)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// FuzzReference compares orders that seed draws and text fills in. One Preparer
// serves all of them, so that a plan which outlived its order would show.
func FuzzReference(f *testing.F) {
	for seed := range uint64(64) {
		f.Add(seed, "张三", "A123456", "a.example", int64(seed)*1e7)
	}
	f.Add(uint64(1), "\ufdd0 x", "A*", "..", int64(1<<32))
	keys := []*sm2.PrivateKey{fixedKey(f, 1001), fixedKey(f, 1002), fixedKey(f, 1003)}
	rootCert := root(f, keys[0])
	caCert := issue(f, keys[0], caOrder(f, rootCert, &keys[1].PublicKey))
	var p issuance.Preparer
	f.Fuzz(func(t *testing.T, seed uint64, text, identity, host string, seconds int64) {
		agree(t, &p, drawOrder(t, rand.New(rand.NewPCG(seed, 0)), caCert, keys, text, identity, host, seconds))
	})
}

// drawOrder draws good and bad orders alike.
func drawOrder(t *testing.T, r *rand.Rand, caCert *smx509.Certificate, keys []*sm2.PrivateKey, text, identity, host string, seconds int64) issuance.Order {
	t.Helper()
	draw := func(n int) bool { return r.IntN(n) == 0 } // true once in n times
	o := subscriberOrder(t, caCert, &keys[r.IntN(len(keys))].PublicKey)
	o.Now = now.Add(time.Duration(seconds%(20*365*24*3600)) * time.Second)
	if subject, err := pki.NewName(pki.Attribute{Type: "O", Value: "Ministry"}, pki.Attribute{Type: "CN", Value: text}); err == nil {
		o.Subject = subject
	}
	o.Identity["insuranceNumber"] = identity
	o.Serial = pki.Serial([]string{"01", "0080", "FF", "00", "7F0102", "01020304050607080910111213141516171819", "1"}[r.IntN(7)])
	o.SubjectAltNames = pki.SubjectAltNames{}
	for range r.IntN(4) {
		o.SubjectAltNames.DNS = append(o.SubjectAltNames.DNS, host)
		o.SubjectAltNames.Email = append(o.SubjectAltNames.Email, text+"@"+host)
	}
	if draw(2) {
		o.Profile.SANTypes = []pki.SANType{pki.SANDNS, pki.SANEmail, pki.SANURI, pki.SANIP}
		o.SubjectAltNames.URI = []string{"http://" + host + "/" + identity}
		o.SubjectAltNames.IP = []net.IP{{10, 0, 0, 1}, net.IPv6loopback, net.IPv4(10, 0, 0, 2)}[:r.IntN(4)]
	}
	o.Profile.KeyUsage = pki.KeyUsage(r.IntN(128)) & []pki.KeyUsage{pki.KeyUsagesSigning, pki.KeyUsagesEncryption, 127}[r.IntN(3)]
	o.Profile.ExtKeyUsage = [][]string{nil, {"1.3.6.1.5.5.7.3.2"}, {"1.3.6.1.5.5.7.3.4", "1.2.3.4.5"}, {pki.OIDExtKeyUsageTimeStamping}}[r.IntN(4)]
	o.Profile.ExtKeyUsageCritical = draw(3)
	o.Profile.OCSPNoCheck = draw(4)
	o.Profile.Validity = time.Duration(r.IntN(200000)) * time.Hour
	if draw(3) {
		o.IssuerURLs = pki.URLs{CRL: []string{"http://" + host + "/1.crl", "ldap://" + host + "/CN=1"}, OCSP: slices.Repeat([]string{"http://" + host}, r.IntN(3))}
	}
	if draw(8) {
		o.Profile = pki.CAProfile(r.IntN(3), 24*time.Hour, 0)
		o.Identity, o.SubjectAltNames = nil, pki.SubjectAltNames{}
		if draw(2) {
			o.Issuer = nil
		}
	}
	return o
}
