package profile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

func TestShippedProfilesAreValid(t *testing.T) {
	files, err := filepath.Glob("../../config/profiles/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range files {
		if filepath.Base(f) == "kustomization.yaml" {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var p pkiv1.CertificateProfile
		if err := yaml.UnmarshalStrict(b, &p); err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if _, err := FromSpec(p.Name, p.Spec); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		found++
	}
	if found < 6 {
		t.Errorf("found %d profiles, want at least 6", found)
	}
}

func TestBadSpecIsRefused(t *testing.T) {
	good := func() pkiv1.CertificateProfileSpec {
		return pkiv1.CertificateProfileSpec{
			Subject:   []pkiv1.SubjectAttributeRule{{Type: "CN"}},
			KeyUsages: []pkiv1.KeyUsage{"DigitalSignature"},
			Validity:  metav1.Duration{Duration: time.Hour},
		}
	}
	if _, err := FromSpec("good", good()); err != nil {
		t.Fatalf("good spec: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*pkiv1.CertificateProfileSpec)
		want   string
	}{
		"pattern": {func(s *pkiv1.CertificateProfileSpec) {
			s.IdentityExtensions = []pkiv1.IdentityExtension{{Name: "n", OID: "1.2.3", Encoding: "UTF8String", Pattern: "("}}
		}, "identityExtensions[0].pattern"},
		"CA usage": {func(s *pkiv1.CertificateProfileSpec) { s.KeyUsages = []pkiv1.KeyUsage{"CertSign"} }, "CertSign"},
		"mixed usages": {func(s *pkiv1.CertificateProfileSpec) {
			s.KeyUsages = []pkiv1.KeyUsage{"DigitalSignature", "KeyEncipherment"}
		}, "ncipher"},
		"standard OID": {func(s *pkiv1.CertificateProfileSpec) {
			s.IdentityExtensions = []pkiv1.IdentityExtension{{Name: "n", OID: "2.5.29.19", Encoding: "UTF8String"}}
		}, "2.5.29.19"},
		"attribute":     {func(s *pkiv1.CertificateProfileSpec) { s.Subject[0].Type = "XX" }, "XX"},
		"zero validity": {func(s *pkiv1.CertificateProfileSpec) { s.Validity.Duration = 0 }, "alidity"},
	} {
		s := good()
		c.change(&s)
		if _, err := FromSpec(name, s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}
