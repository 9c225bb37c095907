package registration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/pki"
)

// request makes a certificate request with a new SM2 key. Subjects are given by
// attributes, most significant first.
func request(tb testing.TB, subject string, san pki.SubjectAltNames) *pki.Request {
	tb.Helper()
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	name, err := pki.ParseName(subject)
	if err != nil {
		tb.Fatal(err)
	}
	t := &smx509.CertificateRequest{RawSubject: name.DER(), DNSNames: san.DNS, IPAddresses: san.IP, EmailAddresses: san.Email}
	for _, s := range san.URI {
		u, err := url.Parse(s)
		if err != nil {
			tb.Fatal(err)
		}
		t.URIs = append(t.URIs, u)
	}
	der, err := smx509.CreateCertificateRequest(rand.Reader, t, key)
	if err != nil {
		tb.Fatal(err)
	}
	return parse(tb, der)
}

func parse(tb testing.TB, der []byte) *pki.Request {
	tb.Helper()
	r, err := pki.ParseRequest(pki.EncodePEM(pki.PEMRequest, der))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func rules(tb testing.TB, texts ...NameRuleText) []NameRule {
	tb.Helper()
	r, err := ParseNameRules(texts)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// good is an application that every check passes.
func good(tb testing.TB) Application {
	return Application{
		Request: request(tb, "CN=app.mohrss.example,O=Ministry,C=CN", pki.SubjectAltNames{
			DNS: []string{"app.mohrss.example"}, IP: []net.IP{net.IPv4(10, 1, 2, 3)},
			Email: []string{"zhang@mohrss.example"}, URI: []string{"https://app.example/users/1"},
		}),
		Namespace: "city", ProfileName: "server",
		Profile: pki.Profile{
			Name:               "server",
			Subject:            []pki.SubjectRule{{Type: "C", Presence: pki.Fixed, Value: "CN"}, {Type: "O", Presence: pki.Required}, {Type: "CN", Presence: pki.Required}},
			KeyUsage:           pki.KeyUsageDigitalSignature,
			Validity:           time.Hour,
			ExtKeyUsage:        []string{oidServerAuth},
			SANTypes:           []pki.SANType{pki.SANDNS, pki.SANIP, pki.SANEmail, pki.SANURI},
			IdentityExtensions: []pki.IdentityExtension{{Name: "insuranceNumber", OID: "1.2.156.10260.4.1.2", Encoding: pki.EncodingPrintableString, Required: true, Pattern: regexp.MustCompile("[0-9]{9}")}},
		},
		Identity: map[string]string{"insuranceNumber": "123456789"},
		Policy: Policy{
			Namespace: "ministry", AllowedProfiles: []string{"person", "server"}, AllowedNamespaces: []string{"city"},
			AllowedNames: rules(tb, NameRuleText{SubjectBase: "O=Ministry,C=CN", DNSSuffix: "mohrss.example"},
				NameRuleText{IPRange: "10.1.0.0/16"}, NameRuleText{EmailDomain: "mohrss.example"}, NameRuleText{URIPrefix: "https://app.example/users/"}),
		},
	}
}

func TestGoodApplicationPasses(t *testing.T) {
	a := good(t)
	var want []Verdict
	for _, c := range subscriberChecks {
		want = append(want, Verdict{Check: c.name, Passed: true})
	}
	if diff := cmp.Diff(want, Evaluate(a)); diff != "" {
		t.Error(diff)
	}
	a.Namespace, a.Policy.AllowedNamespaces = "ministry", nil
	if d := Denied(Evaluate(a)); len(d) > 0 {
		t.Errorf("from the RA's own namespace: %v", d)
	}
	a.Namespace, a.Policy.AllowedNamespaces = "elsewhere", []string{"*"}
	if d := Denied(Evaluate(a)); len(d) > 0 {
		t.Errorf(`with "*": %v`, d)
	}
}

// TestDenials: one change denies the named checks and no other.
func TestDenials(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Application)
		want   map[string]string // check to a part of its reason
	}{
		"no request": {func(a *Application) { a.Request = nil }, map[string]string{
			"requestIsWellFormed": "PKCS #10", "keyIsSM2": "not judged", "possessionIsProved": "not judged",
			"subjectFitsProfile": "not judged", "subjectIsWithinRA": "not judged", "alternativeNamesFitProfile": "not judged",
			"alternativeNamesAreWithinRA": "not judged", "hostNameIsAlternativeName": "not judged"}},
		"P-256 key": {func(a *Application) {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: a.Request.Subject.DER(), DNSNames: a.Request.SubjectAltNames.DNS}, key)
			if err != nil {
				t.Fatal(err)
			}
			a.Request = parse(t, der)
		}, map[string]string{"keyIsSM2": "1.2.156.10197.1.301", "possessionIsProved": "not judged"}},
		"signature of other bytes": {func(a *Application) {
			der := a.Request.DER
			der[len(der)-1] ^= 1
			a.Request = parse(t, der)
		}, map[string]string{"possessionIsProved": "does not verify"}},
		"namespace":            {func(a *Application) { a.Namespace = "village" }, map[string]string{"namespaceIsAllowed": `"village": the registration authority takes requests from ministry, city`}},
		"namespace is no glob": {func(a *Application) { a.Policy.AllowedNamespaces = []string{"c*"} }, map[string]string{"namespaceIsAllowed": "c*"}},
		"profile":              {func(a *Application) { a.ProfileName = "tsa" }, map[string]string{"profileIsAllowed": `profile "tsa": the registration authority allows person, server`}},
		"CA profile": {func(a *Application) {
			a.Profile.CA, a.Profile.KeyUsage = &pki.CAConstraints{}, pki.KeyUsagesCA
		}, map[string]string{"profileIsForSubscribers": "declare a BusinessCA", "profileIsForSigning": "CertSign"}},
		"CA usages alone": {func(a *Application) { a.Profile.KeyUsage |= pki.KeyUsageCRLSign }, map[string]string{
			"profileIsForSubscribers": "makes a CA", "profileIsForSigning": "CRLSign"}},
		"encryption profile": {func(a *Application) { a.Profile.KeyUsage = pki.KeyUsageKeyAgreement }, map[string]string{
			"profileIsForSigning": "KeyAgreement, a signing certificate only DigitalSignature,ContentCommitment"}},
		"subject lacks O": {func(a *Application) { a.Request.Subject = mustName(t, "CN=x,C=CN") }, map[string]string{
			"subjectFitsProfile": "attribute O: is missing", "subjectIsWithinRA": "not judged"}},
		"subject of another country": {func(a *Application) { a.Request.Subject = mustName(t, "CN=Zhang San,O=Ministry,C=US") }, map[string]string{
			"subjectFitsProfile": `subject "...,O=Ministry,C=US": the profile "server" fixes attribute C to "CN"`, "subjectIsWithinRA": "not judged"}},
		"subject of another organisation": {func(a *Application) { a.Request.Subject = mustName(t, "CN=Zhang San,O=Other,C=CN") }, map[string]string{
			"subjectIsWithinRA": `subject "...,O=Other,C=CN": the registration authority allows those below O=Ministry,C=CN`}},
		"no rule of subjects": {func(a *Application) {
			a.Policy.AllowedNames = append(rules(t, NameRuleText{DNSSuffix: "mohrss.example"}), a.Policy.AllowedNames[1:]...)
		}, map[string]string{"subjectIsWithinRA": "none: its spec.allowedNames has no subjectBase"}},
		"kind of name": {func(a *Application) { a.Profile.SANTypes = []pki.SANType{pki.SANDNS, pki.SANEmail, pki.SANURI} }, map[string]string{
			"alternativeNamesFitProfile": `one of kind IP, the profile "server" allows DNS, Email, URI`}},
		"malformed name": {func(a *Application) { a.Request.SubjectAltNames.Email = []string{"mohrss.example"} }, map[string]string{
			"alternativeNamesFitProfile": "malformed", "alternativeNamesAreWithinRA": "e-mail address 1"}},
		"DNS name": {func(a *Application) {
			a.Request.SubjectAltNames.DNS = append(a.Request.SubjectAltNames.DNS, "xmohrss.example")
		}, map[string]string{
			"alternativeNamesAreWithinRA": `DNS name 2, "xmohrss.example": the registration authority allows those below mohrss.example`}},
		"IP address": {func(a *Application) { a.Request.SubjectAltNames.IP[0] = net.IPv4(10, 2, 0, 1) }, map[string]string{
			"alternativeNamesAreWithinRA": `IP address 1, "10.2.0.1": the registration authority allows those below 10.1.0.0/16`}},
		"e-mail address": {func(a *Application) { a.Request.SubjectAltNames.Email = []string{"zhangsan@mail.mohrss.example"} }, map[string]string{
			"alternativeNamesAreWithinRA": `e-mail address 1, "...@mail.mohrss.example"`}},
		"URI": {func(a *Application) { a.Request.SubjectAltNames.URI = []string{"https://app.example/zhangsan"} }, map[string]string{
			"alternativeNamesAreWithinRA": `URI 1, "https://app.example/..."`}},
		"host name in CN": {func(a *Application) { a.Request.Subject = mustName(t, "CN=bank.example,O=Ministry,C=CN") }, map[string]string{
			"hostNameIsAlternativeName": `subject CN "bank.example"`}},
		"server without name": {func(a *Application) { a.Request.SubjectAltNames.DNS, a.Request.SubjectAltNames.IP = nil, nil }, map[string]string{
			"hostNameIsAlternativeName": "no DNS or IP name"}},
		"identity is missing": {func(a *Application) { a.Identity = nil }, map[string]string{"identityIsComplete": "insuranceNumber: is missing"}},
		"identity is unknown": {func(a *Application) { a.Identity["zz"], a.Identity["aa"] = "secret", "secret" }, map[string]string{
			"identityIsComplete": `identity "aa": is unknown to the profile "server", which has insuranceNumber`}},
		"identity does not match": {func(a *Application) { a.Identity["insuranceNumber"] = "secret" }, map[string]string{"identityIsComplete": "pattern [0-9]{9}"}},
		"identity has more":       {func(a *Application) { a.Identity["insuranceNumber"] = "123456789secret" }, map[string]string{"identityIsComplete": "pattern"}},
		"identity characters": {func(a *Application) {
			a.Profile.IdentityExtensions[0].Pattern, a.Identity["insuranceNumber"] = nil, "secret*"
		}, map[string]string{"identityIsComplete": "PrintableString"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := good(t)
			c.change(&a)
			got := map[string]string{}
			for _, v := range Denied(Evaluate(a)) {
				got[v.Check] = v.Reason
				for _, personal := range []string{"secret", "zhang", "Zhang"} {
					if strings.Contains(v.Reason, personal) {
						t.Errorf("%s: reason has personal data: %s", v.Check, v.Reason)
					}
				}
			}
			for check, part := range c.want {
				if reason, ok := got[check]; !ok || !strings.Contains(reason, part) {
					t.Errorf("%s: reason %q, want %q in it", check, reason, part)
				}
				delete(got, check)
			}
			for check, reason := range got {
				t.Errorf("%s is denied too: %s", check, reason)
			}
		})
	}
}

// TestIssuedSubjectIsJudged: the profile orders the subject anew, and that one
// counts, whatever the order in the request.
func TestIssuedSubjectIsJudged(t *testing.T) {
	a := good(t)
	a.Profile.Subject = []pki.SubjectRule{{Type: "C", Presence: pki.Required}, {Type: "L", Presence: pki.Optional}, {Type: "O", Presence: pki.Required}, {Type: "CN", Presence: pki.Required}}
	for text, want := range map[string]bool{
		"CN=app.mohrss.example,O=Ministry,C=CN":      true,
		"C=CN,O=Ministry,CN=app.mohrss.example":      true,
		"CN=app.mohrss.example,L=x,O=Ministry,C=CN":  false, // issued as C, L, O, CN
		"O=ministry,  CN=app.mohrss.example,   C=cn": true,  // compared without case
	} {
		a.Request.Subject = mustName(t, text)
		if got := subjectIsWithinRA(a) == ""; got != want {
			t.Errorf("%s: allowed %t, want %t", text, got, want)
		}
	}
	a.Profile.Subject[0] = pki.SubjectRule{Type: "C", Presence: pki.Fixed, Value: "CN"}
	a.Request.Subject = mustName(t, "CN=app.mohrss.example,O=Ministry")
	if d := subjectIsWithinRA(a); d != "" {
		t.Errorf("the profile adds C=CN: %s", d)
	}
}

func TestReasonsAreBounded(t *testing.T) {
	a := good(t)
	a.Policy.AllowedProfiles = nil
	for range 64 {
		a.Policy.AllowedProfiles = append(a.Policy.AllowedProfiles, strings.Repeat("模", 84))
	}
	a.ProfileName = strings.Repeat("板", 84)
	for _, v := range Evaluate(a) {
		if len(v.Reason) > MaxReason || strings.ToValidUTF8(v.Reason, "") != v.Reason {
			t.Errorf("%s: reason of %d bytes: %q", v.Check, len(v.Reason), v.Reason)
		}
	}
}

func TestChecksAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/registrationauthority.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range subscriberChecks {
		if !strings.Contains(string(page), "\n| "+c.name+" |") {
			t.Errorf("docs/registrationauthority.md has no row for the check %s", c.name)
		}
		if seen[c.name] || len(c.name) > 63 {
			t.Errorf("the name %s is there twice or too long", c.name)
		}
		seen[c.name] = true
	}
}

func mustName(tb testing.TB, s string) pki.Name {
	tb.Helper()
	n, err := pki.ParseName(s)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}
