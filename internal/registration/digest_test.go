package registration

import (
	"encoding/hex"
	"testing"
)

func content() Content {
	return Content{RequestDER: []byte{0x30, 0x00}, Profile: "person", RegistrationNamespace: "ministry", RegistrationName: "ra",
		Certificates: []string{"Signing"}, Identity: []IdentityField{{Name: "a", Value: "1"}, {Name: "b", SecretName: "s", SecretKey: "k"}}}
}

// The digest is for ever: a change of this value orphans every certificate.
func TestDigestIsTheOneOfVersion1(t *testing.T) {
	d := Digest(content())
	if got, want := hex.EncodeToString(d[:]), "c587c4b60a873f7264cb8cb7e10a5f7541c9532d0243ffd9d7707b9e3dc3994f"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestEachFieldIsInTheDigest(t *testing.T) {
	first := Digest(content())
	for name, change := range map[string]func(*Content){
		"request":      func(c *Content) { c.RequestDER = []byte{0x30, 0x01} },
		"profile":      func(c *Content) { c.Profile = "device" },
		"RA namespace": func(c *Content) { c.RegistrationNamespace = "x" },
		"RA name":      func(c *Content) { c.RegistrationName = "x" },
		"certificates": func(c *Content) { c.Certificates = append(c.Certificates, "Encryption") },
		"value":        func(c *Content) { c.Identity[0].Value = "2" },
		"secret":       func(c *Content) { c.Identity[1].SecretName = "x" },
		"secret key":   func(c *Content) { c.Identity[1].SecretKey = "x" },
		"border":       func(c *Content) { c.RegistrationNamespace, c.RegistrationName = "ministryr", "a" },
		"one less":     func(c *Content) { c.Identity = c.Identity[:1] },
	} {
		c := content()
		change(&c)
		if Digest(c) == first {
			t.Errorf("%s: is not in the digest", name)
		}
	}
}

func TestOrderOfListsIsNotInTheDigest(t *testing.T) {
	c := content()
	c.Identity[0], c.Identity[1] = c.Identity[1], c.Identity[0]
	if Digest(c) != Digest(content()) {
		t.Error("the order of identity values changes the digest")
	}
}
