package limits_test

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/limits"
	"github.com/terrace-pki/terrace/internal/pki"
)

const text = `
authorities:
  - authority: BusinessCA/m/business
    validity: 17520h
    keyUsages: [DigitalSignature, ContentCommitment]
    extendedKeyUsages: [1.3.6.1.5.5.7.3.2]
    identityExtensions: [1.2.156.10260.4.1.1]
    names:
      - subjectBase: O=Ministry,C=CN
      - dnsSuffix: example
      - ipRange: 10.1.0.0/16
  - authority: BusinessCA/m/any
    validity: 17520h
    keyUsages: [DigitalSignature]
    anyPurpose: true
    names:
      - subjectBase: O=Ministry,C=CN
subordinates:
  - issuer: IndustryCA/m/industry
    maxPathLength: 1
    validity: 87600h
    names:
      - subjectBase: C=CN
    approvals: 1
officers:
  - name: zhang
    publicKey: |
@KEY@
`

func parse(t *testing.T, change func(string) string) (*limits.Limits, error) {
	t.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := pki.MarshalSPKI(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	pem := "      " + strings.ReplaceAll(strings.TrimSpace(string(pki.EncodePEM(pki.PEMPublicKey, spki))), "\n", "\n      ")
	return limits.Parse([]byte(change(strings.ReplaceAll(text, "@KEY@", pem))))
}

func same(s string) string { return s }

func order(t *testing.T, subject string, change func(*authority.Order)) authority.Order {
	t.Helper()
	name, err := pki.ParseName(subject)
	if err != nil {
		t.Fatal(err)
	}
	o := authority.Order{Identity: authority.Identity{Kind: "CertificateRequest"}, Subject: name,
		Profile: pki.Profile{Name: "p", Validity: time.Hour, KeyUsage: pki.KeyUsageDigitalSignature, ExtKeyUsage: []string{"1.3.6.1.5.5.7.3.2"}}}
	change(&o)
	return o
}

func TestCheck(t *testing.T) {
	l, err := parse(t, same)
	if err != nil {
		t.Fatal(err)
	}
	const business, anyPurpose, industry = "BusinessCA/m/business", "BusinessCA/m/any", "IndustryCA/m/industry"
	noUsage := func(o *authority.Order) { o.Profile.ExtKeyUsage = nil }
	identity := func(oid string) func(*authority.Order) {
		return func(o *authority.Order) {
			o.Profile.IdentityExtensions = []pki.IdentityExtension{{Name: "code", OID: oid}}
		}
	}
	alternatives := func(dns ...string) func(*authority.Order) {
		return func(o *authority.Order) { o.SubjectAltNames.DNS = dns }
	}
	ca := func(pathLen int, validity time.Duration) func(*authority.Order) {
		return func(o *authority.Order) { o.Profile = pki.CAProfile(pathLen, validity, 0) }
	}
	for name, c := range map[string]struct {
		issuer, subject string
		change          func(*authority.Order)
		want            string // empty: allowed
	}{
		"allowed":               {business, "CN=a,O=Ministry,C=CN", func(*authority.Order) {}, ""},
		"client certificate":    {business, "CN=a,O=Ministry,C=CN", func(o *authority.Order) { o.Profile.ExtKeyUsage = []string{"1.3.6.1.5.5.7.3.2"} }, ""},
		"DNS name":              {business, "CN=a,O=Ministry,C=CN", func(o *authority.Order) { o.SubjectAltNames.DNS = []string{"a.example"} }, ""},
		"foreign DNS name":      {business, "CN=a,O=Ministry,C=CN", func(o *authority.Order) { o.SubjectAltNames.DNS = []string{"a.other"} }, "a.other"},
		"foreign subject":       {business, "CN=a,O=Other,C=CN", func(*authority.Order) {}, "subject"},
		"too long":              {business, "CN=a,O=Ministry,C=CN", func(o *authority.Order) { o.Profile.Validity = 17521 * time.Hour }, "validity"},
		"key usage":             {business, "CN=a,O=Ministry,C=CN", func(o *authority.Order) { o.Profile.KeyUsage = pki.KeyUsagesCA }, "key usages"},
		"extended key usage":    {business, "CN=a,O=Ministry,C=CN", func(o *authority.Order) { o.Profile.ExtKeyUsage = []string{"1.3.6.1.5.5.7.3.1"} }, "extended key usage"},
		"any purpose":           {business, "CN=a,O=Ministry,C=CN", noUsage, "anyPurpose"},
		"any purpose, allowed":  {anyPurpose, "CN=a,O=Ministry,C=CN", noUsage, ""},
		"no check":              {business, "CN=a,O=Ministry,C=CN", func(o *authority.Order) { o.Profile.OCSPNoCheck = true }, "OCSP no-check"},
		"identity":              {business, "CN=a,O=Ministry,C=CN", identity("1.2.156.10260.4.1.1"), ""},
		"another identity":      {business, "CN=a,O=Ministry,C=CN", identity("1.2.156.10260.4.1.2"), "identity extension 1.2.156.10260.4.1.2"},
		"host as CN":            {business, "CN=a.other,O=Ministry,C=CN", func(*authority.Order) {}, `subject CN "a.other"`},
		"host as a second CN":   {business, "CN=a,CN=a.other,O=Ministry,C=CN", alternatives("a.example"), `subject CN "a.other"`},
		"wildcard as CN":        {business, "CN=*.other,O=Ministry,C=CN", alternatives("a.example"), `subject CN "*.other"`},
		"address as CN":         {business, "CN=10.1.0.1,O=Ministry,C=CN", func(*authority.Order) {}, `subject CN "10.1.0.1"`},
		"CN and alternative":    {business, "CN=a.example,O=Ministry,C=CN", alternatives("b.example", "A.example"), ""},
		"CN and a foreign name": {business, "CN=a.other,O=Ministry,C=CN", alternatives("a.other"), "a.other"},
		"CN with a dot":         {business, "CN=Zhang S. San,O=Ministry,C=CN", func(*authority.Order) {}, ""},
		"unlisted CA":           {"BusinessCA/m/other", "CN=a,O=Ministry,C=CN", func(*authority.Order) {}, "no entry"},
		"CA under business":     {business, "CN=a,O=Ministry,C=CN", ca(0, time.Hour), "no entry in subordinates"},
		"CA":                    {industry, "CN=a,O=Ministry,C=CN", ca(1, 87600*time.Hour), ""},
		"CA, path length":       {industry, "CN=a,O=Ministry,C=CN", ca(2, time.Hour), "path length"},
		"CA, validity":          {industry, "CN=a,O=Ministry,C=CN", ca(0, 87601*time.Hour), "validity"},
		"CA, subject":           {industry, "CN=a,O=Ministry,C=US", ca(0, time.Hour), "subject"},
		"trust list signer":     {business, "CN=t,O=Other,C=US", func(o *authority.Order) { o.Identity.Kind = authority.KindTrustListSigner }, ""},
		"responder":             {business, "CN=r,O=Other,C=US", func(o *authority.Order) { o.Identity.Kind = authority.KindOCSPResponder }, ""},
		"subscriber of an IA":   {industry, "CN=a,O=Ministry,C=CN", func(*authority.Order) {}, "no entry in authorities"},
	} {
		err := l.Check(authority.IssuerKey{Authority: c.issuer, Generation: 1}, order(t, c.subject, c.change))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: refused: %v", name, err)
		case c.want != "" && (!errors.Is(err, limits.ErrRefused) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want a refusal with %q", name, err, c.want)
		}
	}
	if _, ok := l.Officer("zhang"); !ok {
		t.Error("officer zhang is not known")
	}
	if s, ok := l.Subordinates(industry); !ok || s.Approvals != 1 {
		t.Errorf("subordinates of %s: %+v, %v", industry, s, ok)
	}
}

func TestParseRefuses(t *testing.T) {
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	for name, c := range map[string]struct {
		change func(string) string
		want   string
	}{
		"unknown field":      {replace("validity: 17520h", "validty: 17520h"), "validty"},
		"no validity":        {replace("    validity: 17520h\n", ""), "authorities[0].validity"},
		"CA usage":           {replace("ContentCommitment", "CertSign"), "keyUsages"},
		"bad name":           {replace("dnsSuffix: example", "dnsSuffix: '-'"), "authorities[0].names[1]"},
		"path length":        {replace("maxPathLength: 1", "maxPathLength: 9"), "maxPathLength"},
		"too many approvals": {replace("approvals: 1", "approvals: 2"), "approvals"},
		"bad key":            {replace("BEGIN PUBLIC", "BEGIN PRIVATE"), "officers[0].publicKey"},
		"bad usage":          {replace("[1.3.6.1.5.5.7.3.2]", "[clientAuth]"), "authorities[0].extendedKeyUsages[0]"},
		"bad identity":       {replace("[1.2.156.10260.4.1.1]", "[code]"), "authorities[0].identityExtensions[0]"},
		"one key for two": {func(s string) string {
			return s + strings.Replace(s[strings.Index(s, "  - name: zhang"):], "zhang", "li", 1)
		}, `officers[1].publicKey: is also that of "zhang"`},
		"no officer name": {replace("name: zhang", "name: ''"), "officers[0].name"},
	} {
		if _, err := parse(t, c.change); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

func TestLoadBoundsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.yaml")
	if err := os.WriteFile(path, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := limits.Load(path); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("got %v", err)
	}
	if _, err := limits.Load(path + ".none"); err == nil {
		t.Error("a missing file was read")
	}
}
