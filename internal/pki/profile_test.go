package pki_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/terrace-pki/terrace/internal/pki"
)

func goodProfile() pki.Profile {
	return pki.Profile{
		Name: "person",
		Subject: []pki.SubjectRule{
			{Type: "C", Presence: pki.Fixed, Value: "CN"},
			{Type: "O", Presence: pki.Optional},
			{Type: "CN", Presence: pki.Required, MaxLength: 4},
		},
		KeyUsage: pki.KeyUsagesSigning, Validity: time.Hour, SANTypes: []pki.SANType{pki.SANDNS},
		IdentityExtensions: []pki.IdentityExtension{
			{Name: "insuranceNumber", OID: "1.2.156.10260.4.1.2", Encoding: pki.EncodingPrintableString, Required: true, Pattern: regexp.MustCompile(`[A-Z]|[A-Z][0-9]+`)},
			{Name: "card", OID: "1.2.156.10260.4.1.1", Encoding: pki.EncodingMilitaryCardChoice1},
		},
	}
}

func TestProfileValidate(t *testing.T) {
	for _, p := range []pki.Profile{goodProfile(), pki.CAProfile(0, time.Hour, 0), pki.ResponderProfile(24 * time.Hour)} {
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	tests := map[string]struct {
		change func(*pki.Profile)
		want   string
	}{
		"no usage":          {func(p *pki.Profile) { p.KeyUsage = 0 }, "keyUsages"},
		"CA usage":          {func(p *pki.Profile) { p.KeyUsage |= pki.KeyUsageCertSign }, "for CA certificates alone"},
		"mixed usage":       {func(p *pki.Profile) { p.KeyUsage |= pki.KeyUsageKeyEncipherment }, "issue two certificates"},
		"CA signs mail":     {func(p *pki.Profile) { p.CA = &pki.CAConstraints{} }, "exactly CertSign,CRLSign"},
		"path length":       {func(p *pki.Profile) { *p = pki.CAProfile(-1, time.Hour, 0) }, "ca.pathLen"},
		"CA with names":     {func(p *pki.Profile) { *p = pki.CAProfile(0, time.Hour, 0); p.SANTypes = []pki.SANType{pki.SANDNS} }, "ca: "},
		"validity":          {func(p *pki.Profile) { p.Validity = time.Minute }, "validity"},
		"backdate":          {func(p *pki.Profile) { p.Backdate = -1 }, "backdate"},
		"attribute":         {func(p *pki.Profile) { p.Subject[0].Type = "XX" }, "subject[0].type"},
		"attribute twice":   {func(p *pki.Profile) { p.Subject[1].Type = "2.5.4.3" }, "subject[2].type"},
		"fixed value":       {func(p *pki.Profile) { p.Subject[0].Value = "" }, "subject[0].value"},
		"value not fixed":   {func(p *pki.Profile) { p.Subject[1].Value = "x" }, "subject[1].value"},
		"presence":          {func(p *pki.Profile) { p.Subject[1].Presence = "" }, "subject[1].presence"},
		"max length":        {func(p *pki.Profile) { p.Subject[1].MaxLength = 257 }, "subject[1].maxLength"},
		"usage OID":         {func(p *pki.Profile) { p.ExtKeyUsage = []string{"x"} }, "extendedKeyUsages[0]"},
		"usage twice":       {func(p *pki.Profile) { p.ExtKeyUsage = []string{"1.2.3", "1.2.3"} }, "extendedKeyUsages[1]"},
		"critical without":  {func(p *pki.Profile) { p.ExtKeyUsageCritical = true }, "extendedKeyUsageCriticality"},
		"responder":         {func(p *pki.Profile) { p.ExtKeyUsage = []string{pki.OIDExtKeyUsageOCSPSigning} }, "ocspNoCheck"},
		"time stamp":        {func(p *pki.Profile) { p.ExtKeyUsage = []string{pki.OIDExtKeyUsageTimeStamping} }, "timeStamping"},
		"kind of name":      {func(p *pki.Profile) { p.SANTypes = []pki.SANType{"X400"} }, "subjectAlternativeNames[0]"},
		"identity name":     {func(p *pki.Profile) { p.IdentityExtensions[0].Name = "a b" }, "identityExtensions[0].name"},
		"identity twice":    {func(p *pki.Profile) { p.IdentityExtensions[1].Name = "insuranceNumber" }, "identityExtensions[1].name"},
		"identity OID":      {func(p *pki.Profile) { p.IdentityExtensions[0].OID = "1" }, "identityExtensions[0].oid"},
		"OID twice":         {func(p *pki.Profile) { p.IdentityExtensions[1].OID = "1.2.156.10260.4.1.2" }, "identityExtensions[1].oid"},
		"standard":          {func(p *pki.Profile) { p.IdentityExtensions[0].OID = pki.OIDBasicConstraints }, "standard extension"},
		"standard access":   {func(p *pki.Profile) { p.IdentityExtensions[0].OID = pki.OIDAuthorityInfoAccess }, "standard extension"},
		"no check":          {func(p *pki.Profile) { p.IdentityExtensions[0].OID = pki.OIDOCSPNoCheck }, "standard extension"},
		"identity encoding": {func(p *pki.Profile) { p.IdentityExtensions[0].Encoding = "x" }, "identityExtensions[0].encoding"},
		"empty pattern":     {func(p *pki.Profile) { p.IdentityExtensions[0].Pattern = regexp.MustCompile("") }, "identityExtensions[0].pattern"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			p := goodProfile()
			tt.change(&p)
			if err := p.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSubjectFor(t *testing.T) {
	tests := map[string]struct{ in, want, wantErr string }{
		"fixed put in":   {in: "CN=a", want: "CN=a,C=CN"},
		"fixed given":    {in: "CN=a,C=CN", want: "CN=a,C=CN"},
		"order":          {in: "O=b,CN=a", want: "CN=a,O=b,C=CN"},
		"fixed differs":  {in: "CN=a,C=US", wantErr: `fixes it to "CN"`},
		"missing":        {in: "O=a", wantErr: "CN: is missing"},
		"unknown":        {in: "CN=a,L=x", wantErr: "L: is not one of the profile"},
		"twice":          {in: "CN=a,CN=b", wantErr: "is there twice"},
		"too long":       {in: "CN=张三李四王", wantErr: "5 characters, the profile allows 4"},
		"characters":     {in: "CN=张三李四", want: "CN=张三李四,C=CN"},
		"default length": {in: "CN=a,O=" + strings.Repeat("x", 65), wantErr: "allows 64"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			n, err := goodProfile().SubjectFor(mustName(t, tt.in))
			if (err == nil) != (tt.wantErr == "") || (err != nil && !strings.Contains(err.Error(), tt.wantErr)) {
				t.Fatalf("got %v, want %q", err, tt.wantErr)
			}
			if n.String() != tt.want {
				t.Errorf("got %q, want %q", n, tt.want)
			}
		})
	}
	any := mustName(t, "L=x,CN=a")
	if n, err := pki.CAProfile(0, time.Hour, 0).SubjectFor(any); err != nil || n.String() != any.String() {
		t.Errorf("no rules: got %q, %v", n, err)
	}
}

func TestCheckIdentity(t *testing.T) {
	tests := map[string]struct {
		values map[string]string
		want   string
	}{
		"longest alternative": {map[string]string{"insuranceNumber": "A123"}, ""},
		"both":                {map[string]string{"insuranceNumber": "A", "card": "军字第1号"}, ""},
		"missing":             {map[string]string{"card": "x"}, "insuranceNumber: is missing"},
		"unknown":             {map[string]string{"insuranceNumber": "A", "y": "x"}, `"y": is not one`},
		"pattern":             {map[string]string{"insuranceNumber": "secret9"}, "pattern"},
		"part of pattern":     {map[string]string{"insuranceNumber": "A1x"}, "pattern"},
		"characters":          {map[string]string{"insuranceNumber": "张"}, "PrintableString"},
		"empty":               {map[string]string{"insuranceNumber": ""}, "blank"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			err := goodProfile().CheckIdentity(tt.values)
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret9") {
				t.Error("personal data is in the error")
			}
		})
	}
}

func TestIdentityDER(t *testing.T) {
	tests := map[string]struct{ encoding, value, want string }{
		"printable": {pki.EncodingPrintableString, "A1", "13024131"},
		"UTF-8":     {pki.EncodingUTF8String, "张", "0c03e5bca0"},
		"IA5":       {pki.EncodingIA5String, "a@b", "1603614062"},
		"resident":  {pki.EncodingResidentCardChoice0, "1X", "a004 13023158"},
		"military":  {pki.EncodingMilitaryCardChoice1, "军", "a105 0c03e5869b"},
		"passport":  {pki.EncodingPassportChoice2, "G1", "a204 13024731"},
	}
	for desc, tt := range tests {
		t.Run(desc, func(t *testing.T) {
			e := pki.IdentityExtension{Name: "x", Encoding: tt.encoding}
			der, err := e.DER(tt.value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(unhex(t, tt.want), der); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err := e.CheckDER(der); err != nil {
				t.Error(err)
			}
			if e.CheckDER(append(der, 0)) == nil || e.CheckDER(der[:1]) == nil {
				t.Error("malformed DER was taken")
			}
		})
	}
}
