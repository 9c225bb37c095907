package validation

import (
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
)

func TestNames(t *testing.T) {
	tests := map[string]struct {
		ca      CAName
		shard   int32
		wantCRL string
		key     authority.IssuerKey
	}{
		"business": {ca: CAName{KindBusinessCA, "province", 1}, wantCRL: "businessca-province-g1-s0.crl",
			key: authority.IssuerKey{Authority: "BusinessCA/test/province", Generation: 1}},
		"industry": {ca: CAName{KindIndustryCA, "ministry", 12}, shard: 255, wantCRL: "industryca-ministry-g12-s255.crl",
			key: authority.IssuerKey{Authority: "IndustryCA/test/ministry", Generation: 12}},
		"name that looks like an ending": {ca: CAName{KindBusinessCA, "a-g1-s2.crl", 3}, shard: 4, wantCRL: "businessca-a-g1-s2.crl-g3-s4.crl",
			key: authority.IssuerKey{Authority: "BusinessCA/test/a-g1-s2.crl", Generation: 3}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			// What the CAs write into certificates must be what is served.
			got := test.key.CRLFileName(test.shard)
			if got != test.wantCRL {
				t.Errorf("the CA writes %s, want %s", got, test.wantCRL)
			}
			if ca, shard, ok := parseCRLName(got); !ok || ca != test.ca || shard != test.shard {
				t.Errorf("%s reads back as %v shard %d, %t", got, ca, shard, ok)
			}
			if full, delta := isDeltaName(test.key.DeltaFileName(test.shard)); full != got || !delta {
				t.Errorf("%s reads back as that of %s, %t", test.key.DeltaFileName(test.shard), full, delta)
			}
			if full, delta := isDeltaName(got); full != got || delta {
				t.Errorf("%s is taken for a delta", got)
			}
			file := test.key.FileName() + ".cer"
			if ca, ok := parseCertificateName(file); !ok || ca != test.ca {
				t.Errorf("%s reads back as %v, %t", file, ca, ok)
			}
			if test.ca.String() != test.key.FileName() {
				t.Errorf("name is %s, the CA writes %s", test.ca, test.key.FileName())
			}
		})
	}
}

func TestNamesThatAreNone(t *testing.T) {
	for _, file := range []string{
		"", ".crl", "businessca-a-g1-s0-delta.crl", "-s0.crl", "businessca-a-g1.crl", "businessca-a-g1-s0", "businessca-a-g1-s0.CRL", "rootca-a-g1-s0.crl",
		"businessca--g1-s0.crl", "businessca-a-g0-s0.crl", "businessca-a-g01-s0.crl", "businessca-a-g1-s00.crl", "businessca-a-g1-s-1.crl",
		"businessca-a-g1-s+1.crl", "businessca-a-g4294967297-s0.crl", "businessca-A-g1-s0.crl", "businessca-a/../b-g1-s0.crl",
		"businessca-a_b-g1-s0.crl", "businessca-" + strings.Repeat("a", 254) + "-g1-s0.crl", "../businessca-a-g1-s0.crl",
	} {
		if ca, shard, ok := parseCRLName(file); ok {
			t.Errorf("%q is read as %v shard %d", file, ca, shard)
		}
	}
}

func TestBasePath(t *testing.T) {
	for in, want := range map[string]string{
		"http://v.example": "", "http://v.example/": "", "http://v.example:8080/ministry": "/ministry", "http://v.example/a/b/": "/a/b",
	} {
		if got, err := BasePath(in); err != nil || got != want {
			t.Errorf("BasePath(%q) is %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "v.example/a", "http://v.example/a?b", "http://v.example/a#b", "http://v.example//a", "http://v.example/../a", "http://v.example/a%2fb", "http://v\x00"} {
		if got, err := BasePath(in); err == nil {
			t.Errorf("BasePath(%q) is %q, want an error", in, got)
		}
	}
}
