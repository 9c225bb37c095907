package registration

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for name, c := range map[string]struct {
		rule         NameRuleText
		allows       func(NameRule, string) bool
		good, refuse []string
	}{
		"dnsSuffix": {NameRuleText{DNSSuffix: "Mohrss.example"}, NameRule.allowsDNS,
			[]string{"mohrss.example", "app.mohrss.example", "a.b.MOHRSS.EXAMPLE", "*.mohrss.example", "*.app.mohrss.example", "xn--fiqs8s.mohrss.example"},
			[]string{"", "xmohrss.example", "example", "mohrss.example.", ".mohrss.example", "a..mohrss.example", "mohrss.example.evil", "*", "*.example",
				"a.*.mohrss.example", "*.*.mohrss.example", "a*.mohrss.example", "中国.mohrss.example", "a_b.mohrss.example", "-a.mohrss.example", "ab--c.mohrss.example",
				"a.mohrss.example\x00", "a b.mohrss.example", strings.Repeat("a.", 120) + "mohrss.example", strings.Repeat("a", 64) + ".mohrss.example"}},
		"dnsSuffix with k": {NameRuleText{DNSSuffix: "kk.example"}, NameRule.allowsDNS,
			[]string{"KK.example"}, []string{"\u212ak.example"}}, // the Kelvin sign becomes k in lower case
		"dnsSuffix, A-label": {NameRuleText{DNSSuffix: "xn--fiqs8s"}, NameRule.allowsDNS, []string{"a.XN--fiqs8s"}, []string{"a.中国", "fiqs8s"}},
		"ipRange": {NameRuleText{IPRange: "10.1.0.0/16"}, NameRule.allowsIP,
			[]string{"10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3"}, []string{"", "10.2.0.0", "10.1.0", "::10.1.0.1", "10.1.0.1/32", "010.1.0.1"}},
		"ipRange, IPv6": {NameRuleText{IPRange: "2001:db8::/32"}, NameRule.allowsIP,
			[]string{"2001:db8::1"}, []string{"2001:db9::1", "2001:db8::1%eth0", "32.1.13.184"}},
		"emailDomain": {NameRuleText{EmailDomain: "mohrss.example"}, NameRule.allowsEmail,
			[]string{"a@mohrss.example", "a.b+c@MOHRSS.example"},
			[]string{"", "@mohrss.example", "mohrss.example", "a@mail.mohrss.example", "a@xmohrss.example", "a@evil.example@mohrss.example", "a@mohrss.example.", "a@*.mohrss.example", "a@mohrss.example "}},
		"uriPrefix": {NameRuleText{URIPrefix: "https://app.example/users/"}, NameRule.allowsURI,
			[]string{"https://app.example/users/", "https://app.example/users/1", "HTTPS://APP.example/users/a/b/", "https://app.example/users/1?a=b/../..", "https://app.example/users/%E5%BC%A0", "https://app.example/users/a..b"},
			[]string{"", "https://app.example/users", "https://app.example/usersx", "https://app.example/Users/1", "http://app.example/users/1", "https://app.example:443/users/1",
				"https://app.example:/users/1", "https://app.example.evil/users/1", "https://evil@app.example/users/1", "https://app.example@evil/users/", "//app.example/users/1", "/users/1",
				"https://app.example/users/../admin", "https://app.example/users/..", "https://app.example/users/./1", "https://app.example/users/%2e%2e/admin", "https://app.example/users/%2E./admin",
				"https://app.example/users/%252e%252e/admin", "https://app.example/users/..%2fadmin", "https://app.example/users/..%5Cadmin", `https://app.example/users/..\admin`,
				"https://app.example/users/..;/admin", "https://app.example/users/..;a=b/admin", "https://app.example/users//admin", "https://app.example//users/1", "https://app.example/users/%00",
				"https://app.example/users/1#x", "https://app.example/users/1#", "https://app.example/users/a b", "https://app.example/users/\n", "https:app.example/users/", "https://app.example/users/" + strings.Repeat("a", 1024)}},
		"uriPrefix with k":    {NameRuleText{URIPrefix: "https://kk.example/"}, NameRule.allowsURI, []string{"https://kK.example/", "https://kk.example"}, []string{"https://%E2%84%AAk.example/"}},
		"uriPrefix with port": {NameRuleText{URIPrefix: "spiffe://td:8443/ns/"}, NameRule.allowsURI, []string{"spiffe://td:8443/ns/a"}, []string{"spiffe://td/ns/a", "spiffe://td:08443/ns/a"}},
		"uriPrefix with IP":   {NameRuleText{URIPrefix: "https://[2001:db8::1]/"}, NameRule.allowsURI, []string{"https://[2001:DB8:0::1]/x"}, []string{"https://[2001:db8::1%25eth0]/x", "https://[2001:db8::2]/"}},
	} {
		r, err := ParseNameRule(c.rule)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, s := range c.good {
			if !c.allows(r, s) {
				t.Errorf("%s: %q is refused", name, s)
			}
		}
		for _, s := range c.refuse {
			if c.allows(r, s) {
				t.Errorf("%s: %q is allowed", name, s)
			}
			if c.allows(NameRule{}, s) {
				t.Errorf("%s: %q is allowed by no rule", name, s)
			}
		}
	}
}

func TestRulesOfOneKindAllowNoOther(t *testing.T) {
	r, err := ParseNameRule(NameRuleText{IPRange: "0.0.0.0/0"})
	if err != nil {
		t.Fatal(err)
	}
	if r.allowsSubject(mustName(t, "C=CN")) || r.allowsDNS("a.example") || r.allowsEmail("a@a.example") || r.allowsURI("http://a.example/") || r.allowsIP("::1") {
		t.Error("a rule for IPv4 allows something else")
	}
}

func TestBadRulesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		rule NameRuleText
		want string
	}{
		"empty":                {NameRuleText{}, "has no member; want one of subjectBase"},
		"subject":              {NameRuleText{SubjectBase: "Ministry"}, `subjectBase "Ministry": distinguished name`},
		"subject attribute":    {NameRuleText{SubjectBase: "XX=a"}, `"XX"`},
		"leading dot":          {NameRuleText{DNSSuffix: ".mohrss.example"}, `dnsSuffix ".mohrss.example": has an empty label`},
		"final dot":            {NameRuleText{DNSSuffix: "mohrss.example."}, "empty label"},
		"wildcard":             {NameRuleText{DNSSuffix: "*.mohrss.example"}, "no wildcard"},
		"U-label":              {NameRuleText{DNSSuffix: "中国"}, "xn--"},
		"reserved label":       {NameRuleText{DNSSuffix: "ab--c.example"}, "third and fourth"},
		"long label":           {NameRuleText{DNSSuffix: strings.Repeat("a", 64)}, "64 bytes"},
		"long name":            {NameRuleText{DNSSuffix: strings.Repeat("a.", 127) + "a"}, "255 bytes"},
		"hyphen":               {NameRuleText{DNSSuffix: "a-.example"}, "hyphen"},
		"number":               {NameRuleText{DNSSuffix: "10.1"}, "last label is a number"},
		"IP address":           {NameRuleText{IPRange: "10.1.0.1"}, "no CIDR block"},
		"host bits":            {NameRuleText{IPRange: "10.1.2.3/16"}, "write 10.1.0.0/16"},
		"mapped":               {NameRuleText{IPRange: "::ffff:10.0.0.0/104"}, "write it as IPv4"},
		"zone":                 {NameRuleText{IPRange: "fe80::%eth0/64"}, "no CIDR block"},
		"e-mail address":       {NameRuleText{EmailDomain: "a@mohrss.example"}, "emailDomain"},
		"URI without scheme":   {NameRuleText{URIPrefix: "app.example/users/"}, "not scheme://host/path"},
		"URI without host":     {NameRuleText{URIPrefix: "https:///users/"}, "not scheme://host/path"},
		"opaque URI":           {NameRuleText{URIPrefix: "urn:a:"}, "not scheme://host/path"},
		"URI in a segment":     {NameRuleText{URIPrefix: "https://app.example/users"}, "does not end in /"},
		"URI with query":       {NameRuleText{URIPrefix: "https://app.example/?/"}, "query"},
		"URI with user":        {NameRuleText{URIPrefix: "https://a@app.example/"}, "user information"},
		"URI with dots":        {NameRuleText{URIPrefix: "https://app.example/a/../"}, "dot segment"},
		"URI with double /":    {NameRuleText{URIPrefix: "https://app.example/a//"}, "empty segment"},
		"URI with encoded /":   {NameRuleText{URIPrefix: "https://app.example/a%2F/"}, "%2f"},
		"URI with port 0":      {NameRuleText{URIPrefix: "https://app.example:0/"}, "port 0"},
		"URI with long port":   {NameRuleText{URIPrefix: "https://app.example:65536/"}, "port 65536"},
		"URI with bad host":    {NameRuleText{URIPrefix: "https://a_b.example/"}, "host: has a character"},
		"URI outside ASCII":    {NameRuleText{URIPrefix: "https://app.example/用户/"}, "percent-encoded"},
		"second member is bad": {NameRuleText{SubjectBase: "C=CN", EmailDomain: "-"}, "emailDomain"},
	} {
		if _, err := ParseNameRule(c.rule); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in the error", name, err, c.want)
		}
	}
	if _, err := ParseNameRules([]NameRuleText{{DNSSuffix: "a.example"}, {DNSSuffix: "."}}); err == nil || !strings.HasPrefix(err.Error(), "[1]: dnsSuffix") {
		t.Errorf("got %v, want the index of the bad rule", err)
	}
	if _, err := ParseNameRules(make([]NameRuleText, MaxNameRules+1)); err == nil || !strings.Contains(err.Error(), "at most 64") {
		t.Errorf("65 rules: got %v", err)
	}
}

// FuzzNameRules: no input makes a rule panic, and what a rule allows is within
// it by a simpler reading.
func FuzzNameRules(f *testing.F) {
	f.Add("mohrss.example", "10.1.0.0/16", "https://app.example/users/", "*.mohrss.example")
	f.Add("xn--fiqs8s", "2001:db8::/32", "spiffe://td/", "https://app.example/users/%2e%2e/")
	f.Add("a", "0.0.0.0/0", "http://[::1]:80/", "a@a")
	f.Add("kk.example", "::/0", "https://kk.example/", "https://%E2%84%AAk.example/")
	f.Fuzz(func(t *testing.T, domain, block, prefix, name string) {
		if r, err := ParseNameRule(NameRuleText{DNSSuffix: domain, EmailDomain: domain}); err == nil && domain != "" {
			lower := strings.ToLower(name)
			if r.allowsDNS(name) && lower != r.dnsSuffix && !strings.HasSuffix(lower, "."+r.dnsSuffix) {
				t.Errorf("suffix %q allows DNS %q", domain, name)
			}
			if r.allowsEmail(name) && !strings.HasSuffix(lower, "@"+r.emailDomain) {
				t.Errorf("domain %q allows e-mail %q", domain, name)
			}
			if r.allowsURI(name) || r.allowsIP(name) {
				t.Errorf("domain %q allows %q of another kind", domain, name)
			}
		}
		if r, err := ParseNameRule(NameRuleText{IPRange: block}); err == nil && block != "" {
			r.allowsIP(name)
		}
		r, err := ParseNameRule(NameRuleText{URIPrefix: prefix})
		if err != nil || prefix == "" {
			return
		}
		again, err := ParseNameRule(NameRuleText{URIPrefix: r.uri.String()})
		if err != nil || *again.uri != *r.uri {
			t.Errorf("prefix %q reads back as %v, %v", prefix, again.uri, err)
		}
		for _, v := range []string{name, prefix + name} {
			if !r.allowsURI(v) {
				continue
			}
			u, err := parseURI(v)
			if err != nil || u.host != r.uri.host || strings.Contains(u.path, "/../") || strings.HasSuffix(u.path, "/..") || strings.Contains(u.path, `\`) {
				t.Errorf("prefix %q allows URI %q (%v)", prefix, v, err)
			}
		}
	})
}
