package crl_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/internal/crl"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/lint"
	"github.com/terrace-pki/terrace/internal/pki"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func authority(tb testing.TB) (*smx509.Certificate, *sm2.PrivateKey) {
	tb.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	name, err := pki.ParseName("CN=业务CA,C=CN")
	if err != nil {
		tb.Fatal(err)
	}
	token, err := issuance.Prepare(issuance.Order{
		Profile: pki.CAProfile(0, 1000*time.Hour, 0), Subject: name, PublicKey: &key.PublicKey, Serial: "01", Now: now,
	})
	if err != nil {
		tb.Fatal(err)
	}
	der, err := issuance.Issue(key, token)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := pki.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert, key
}

func template(issuer *smx509.Certificate) crl.Template {
	return crl.Template{
		Issuer: issuer, Number: 1772366400000000000, ThisUpdate: now, NextUpdate: now.Add(24 * time.Hour),
		Entries: []crl.Entry{
			{Serial: "0102", At: now.Add(-time.Hour), Reason: pki.ReasonKeyCompromise},
			{Serial: "FF", At: now.Add(-2 * time.Hour)},
			{Serial: "7F", At: now.Add(-3 * time.Hour), Reason: pki.ReasonCertificateHold},
			{Serial: pki.Serial("01" + strings.Repeat("AB", 19)), At: now, Reason: pki.ReasonPrivilegeWithdrawn},
		},
	}
}

func TestSign(t *testing.T) {
	issuer, key := authority(t)
	der, err := crl.Sign(key, template(issuer))
	if err != nil {
		t.Fatal(err)
	}
	list, err := smx509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		t.Error(err)
	}
	var got []string
	for _, e := range list.RevokedCertificateEntries {
		got = append(got, fmt.Sprintf("%s %s %d %d", pki.SerialFromInt(e.SerialNumber), e.RevocationTime.Format(time.RFC3339), e.ReasonCode, len(e.Extensions)))
	}
	want := []string{
		"7F 2026-03-01T09:00:00Z 6 1",
		"FF 2026-03-01T10:00:00Z 0 0",
		"0102 2026-03-01T11:00:00Z 1 1",
		"01" + strings.Repeat("AB", 19) + " 2026-03-01T12:00:00Z 9 1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if list.Number.Int64() != 1772366400000000000 || !cmp.Equal(list.AuthorityKeyId, issuer.SubjectKeyId) || len(list.Extensions) != 2 {
		t.Errorf("number %s, AKI %x, %d extensions", list.Number, list.AuthorityKeyId, len(list.Extensions))
	}
}

func TestSignVariants(t *testing.T) {
	issuer, key := authority(t)
	tests := map[string]struct {
		change func(*crl.Template)
		idp    []byte
	}{
		"empty": {func(c *crl.Template) { c.Entries = nil }, nil},
		"far":   {func(c *crl.Template) { c.NextUpdate = time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC) }, nil},
		"shard": {func(c *crl.Template) { c.DistributionPoint = "http://a/b" },
			append([]byte{0x30, 0x10, 0xa0, 0x0e, 0xa0, 0x0c, 0x86, 0x0a}, "http://a/b"...)},
		"ARL": {func(c *crl.Template) { c.OnlyCACertificates = true }, []byte{0x30, 0x03, 0x82, 0x01, 0xff}},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			c := template(issuer)
			tt.change(&c)
			der, err := crl.Sign(key, c)
			if err != nil {
				t.Fatal(err)
			}
			list, err := smx509.ParseRevocationList(der)
			if err != nil {
				t.Fatal(err)
			}
			var idp []byte
			for _, e := range list.Extensions {
				if e.Id.String() == pki.OIDIssuingDistribution && e.Critical {
					idp = e.Value
				}
			}
			if diff := cmp.Diff(tt.idp, idp); diff != "" {
				t.Errorf("issuingDistributionPoint (-want +got):\n%s", diff)
			}
			if len(list.RevokedCertificateEntries) != len(c.Entries) || !list.NextUpdate.Equal(c.NextUpdate) {
				t.Errorf("%d entries until %s", len(list.RevokedCertificateEntries), list.NextUpdate)
			}
		})
	}
}

func TestDelta(t *testing.T) {
	issuer, key := authority(t)
	full := template(issuer)
	full.DistributionPoint, full.FreshestCRL = "http://a/b", "http://a/delta"
	delta := full
	delta.Base, delta.Number, delta.FreshestCRL = full.Number, full.Number+200, ""
	delta.Entries = append(slices.Clone(full.Entries[:1]), crl.Entry{Serial: "7F", At: now, Reason: pki.ReasonRemoveFromCRL})
	extensions := map[string]map[string]pkix.Extension{}
	for name, template := range map[string]crl.Template{"full": full, "delta": delta} {
		der, err := crl.Sign(key, template)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		list, err := smx509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := list.CheckSignatureFrom(issuer); err != nil || len(list.RevokedCertificateEntries) != len(template.Entries) {
			t.Errorf("%s: %d entries, %v", name, len(list.RevokedCertificateEntries), err)
		}
		for _, want := range template.Entries {
			if got, found, err := crl.Find(der, want.Serial); err != nil || !found || !cmp.Equal(got, want) {
				t.Errorf("%s: found %t, %v:\n%s", name, found, err, cmp.Diff(want, got))
			}
		}
		extensions[name] = map[string]pkix.Extension{}
		for _, e := range list.Extensions {
			extensions[name][e.Id.String()] = e
		}
	}
	idp := extensions["full"][pki.OIDIssuingDistribution]
	if diff := cmp.Diff(idp, extensions["delta"][pki.OIDIssuingDistribution]); diff != "" || idp.Value == nil {
		t.Errorf("issuingDistributionPoint (-full +delta):\n%s", diff)
	}
	var base int64
	indicator := extensions["delta"][pki.OIDDeltaCRLIndicator]
	if _, err := asn1.Unmarshal(indicator.Value, &base); err != nil || base != full.Number || !indicator.Critical {
		t.Errorf("deltaCRLIndicator %+v, %v, want %d", indicator, err, full.Number)
	}
	freshest := extensions["full"][pki.OIDFreshestCRL]
	want := append([]byte{0x30, 0x16, 0x30, 0x14, 0xa0, 0x12, 0xa0, 0x10, 0x86, 0x0e}, "http://a/delta"...)
	if !bytes.Equal(freshest.Value, want) || freshest.Critical {
		t.Errorf("freshestCRL %+v, want %x", freshest, want)
	}
	if len(extensions["full"]) != 4 || len(extensions["delta"]) != 4 {
		t.Errorf("extensions %v", extensions)
	}
}

func TestBuilderRefuses(t *testing.T) {
	issuer, key := authority(t)
	b, err := crl.NewBuilder(template(issuer))
	if err != nil {
		t.Fatal(err)
	}
	for _, serial := range []pki.Serial{"FF", "0102"} {
		if err := b.Add(crl.Entry{Serial: serial, At: now}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Add(crl.Entry{Serial: "0101", At: now}); err == nil || !strings.Contains(err.Error(), "comes after 0102") {
		t.Errorf("out of order: %v", err)
	}
	if _, err := b.Sign(key, 7); err != nil || b.Len() != 2 {
		t.Errorf("%d entries, %v", b.Len(), err)
	}
	if _, err := b.Sign(key, 8); err == nil || !strings.Contains(err.Error(), "used up") {
		t.Errorf("signed again: %v", err)
	}
}

// Lengths on both sides of where their encoding grows.
func TestLengths(t *testing.T) {
	issuer, key := authority(t)
	for _, n := range []int{1, 2, 3, 4, 5, 1100, 1250, 320_000} {
		c := template(issuer)
		c.Entries = manyEntries(n)
		der, err := crl.Sign(key, c)
		if err != nil {
			t.Fatalf("%d entries: %v", n, err)
		}
		list, err := smx509.ParseRevocationList(der)
		if err != nil || list.CheckSignatureFrom(issuer) != nil || len(list.RevokedCertificateEntries) != n {
			t.Errorf("%d entries: %v", n, err)
		}
	}
}

func FuzzFind(f *testing.F) {
	issuer, key := authority(f)
	der, err := crl.Sign(key, template(issuer))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der, "0102")
	f.Add([]byte{0x30, 0}, "FF")
	f.Fuzz(func(t *testing.T, der []byte, serial string) {
		got, found, err := crl.Find(der, pki.Serial(serial))
		if found && (err != nil || got.Serial != pki.Serial(serial)) {
			t.Errorf("found %+v, %v", got, err)
		}
	})
}

func TestSignRefuses(t *testing.T) {
	issuer, key := authority(t)
	_, otherKey := authority(t)
	tests := map[string]struct {
		change func(*crl.Template)
		want   string
	}{
		"no issuer":      {func(c *crl.Template) { c.Issuer = nil }, "issuer certificate: is missing"},
		"no number":      {func(c *crl.Template) { c.Number = 0 }, "number: is 0"},
		"ends at once":   {func(c *crl.Template) { c.NextUpdate = c.ThisUpdate }, "crl-next-update"},
		"serial twice":   {func(c *crl.Template) { c.Entries = append(c.Entries, c.Entries[0]) }, "serial 0102 is there twice"},
		"no serial":      {func(c *crl.Template) { c.Entries[0].Serial = "" }, "serial: want"},
		"leading zero":   {func(c *crl.Template) { c.Entries[0].Serial = "00FF" }, "without leading zeros"},
		"21 octets":      {func(c *crl.Template) { c.Entries[0].Serial = pki.Serial("FF" + strings.Repeat("00", 19)) }, "at most 20 octets"},
		"no hex":         {func(c *crl.Template) { c.Entries[0].Serial = "XY" }, "positive number"},
		"no time":        {func(c *crl.Template) { c.Entries[0].At = time.Time{} }, "revocation date"},
		"base above":     {func(c *crl.Template) { c.Base = c.Number }, "above the base"},
		"base negative":  {func(c *crl.Template) { c.Base = -1 }, "base: is -1"},
		"delta of delta": {func(c *crl.Template) { c.Base, c.FreshestCRL = 1, "http://a/b" }, "a delta names no delta"},
		"bad delta URL":  {func(c *crl.Template) { c.FreshestCRL = "x" }, "freshest CRL"},
		"reason 7":       {func(c *crl.Template) { c.Base, c.Entries[0].Reason = 1, 7 }, "cannot stand on"},
		"removeFromCRL":  {func(c *crl.Template) { c.Entries[0].Reason = 8 }, "cannot stand on a full CRL"},
		"bad URL":        {func(c *crl.Template) { c.DistributionPoint = "x" }, "distribution point"},
		"may not sign":   {func(c *crl.Template) { i := *c.Issuer; i.KeyUsage = 0; c.Issuer = &i }, "crl-issuer-may-sign"},
		"no key ID":      {func(c *crl.Template) { i := *c.Issuer; i.SubjectKeyId = nil; c.Issuer = &i }, "no subject key identifier"},
		"no key in cert": {func(c *crl.Template) { i := *c.Issuer; i.RawSubjectPublicKeyInfo = nil; c.Issuer = &i }, "is not SM2"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			c := template(issuer)
			tt.change(&c)
			_, err := crl.Sign(key, c)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			var found *lint.Error
			if errors.As(err, &found) != strings.HasPrefix(tt.want, "crl-") {
				t.Errorf("is a lint error: %v", err)
			}
		})
	}
	if _, err := crl.Sign(otherKey, template(issuer)); err == nil || !strings.Contains(err.Error(), "is not the key of the issuer certificate") {
		t.Errorf("another key: got %v", err)
	}
}

// TestOpenSSL has openssl read the list and verify its signature over the TBS
// bytes, which is the way that works with an SM2 ID.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is not installed; it is needed to cross-check CRLs")
	}
	issuer, key := authority(t)
	der, err := crl.Sign(key, template(issuer))
	if err != nil {
		t.Fatal(err)
	}
	list, err := smx509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(file string, b []byte) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(openssl, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	text := run("crl", "-inform", "DER", "-in", write("crl.der", der), "-noout", "-text")
	for _, want := range []string{"Version 2", "SM2-with-SM3", "Serial Number: 0102", "Key Compromise", "X509v3 CRL Number"} {
		if !strings.Contains(text, want) {
			t.Errorf("openssl crl -text does not show %q:\n%s", want, text)
		}
	}
	public := write("issuer.pub", pki.EncodePEM("PUBLIC KEY", issuer.RawSubjectPublicKeyInfo))
	out := run("dgst", "-sm3", "-verify", public, "-sigopt", "distid:1234567812345678",
		"-signature", write("sig", list.Signature), write("tbs", list.RawTBSRevocationList))
	if !strings.Contains(out, "Verified OK") {
		t.Errorf("openssl dgst: %s", out)
	}
}

func manyEntries(n int) []crl.Entry {
	entries := make([]crl.Entry, n)
	for i := range entries {
		// Not in order.
		entries[i] = crl.Entry{Serial: pki.Serial(fmt.Sprintf("01%08X%030X", uint32(i)*2654435761, i)), At: now, Reason: pki.ReasonSuperseded}
	}
	return entries
}

// TestAllocationsDoNotGrowPerEntry: memory may grow with the list, the number
// of allocations must not.
func TestAllocationsDoNotGrowPerEntry(t *testing.T) {
	issuer, key := authority(t)
	c := template(issuer)
	allocs := func(n int) float64 {
		c.Entries = manyEntries(n)
		return testing.AllocsPerRun(3, func() {
			if _, err := crl.Sign(key, c); err != nil {
				t.Fatal(err)
			}
		})
	}
	small, large := allocs(10), allocs(20_000)
	if perEntry := (large - small) / 20_000; perEntry > 4 {
		t.Errorf("%.1f allocations per entry, want at most 4", perEntry)
	} else {
		t.Logf("%.2f allocations per entry", perEntry)
	}
}

func BenchmarkSign(b *testing.B) {
	issuer, key := authority(b)
	for _, n := range []int{1, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := template(issuer)
			c.Entries = manyEntries(n)
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				der, err := crl.Sign(key, c)
				if err != nil {
					b.Fatal(err)
				}
				size = len(der)
			}
			b.ReportMetric(float64(size), "DER-bytes")
		})
	}
}
