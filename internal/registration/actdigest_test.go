package registration

import (
	"encoding/hex"
	"testing"
)

func act() ActContent {
	return ActContent{Request: "first", RegistrationNamespace: "ministry", RegistrationName: "ra", Action: "Revoke", Reason: "KeyCompromise"}
}

// The digest is for ever: a change of this value would have acts done twice.
// The value was made by OpenSSL over the encoding as documented.
func TestActDigestIsTheOneOfVersion1(t *testing.T) {
	d := ActDigest(act())
	if got, want := hex.EncodeToString(d[:]), "bfbc1c5200c6b2f5827304ca686f3a361f7fc9a34091de6c38eb351a737a5fa7"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestEachFieldIsInTheActDigest(t *testing.T) {
	first := ActDigest(act())
	for name, change := range map[string]func(*ActContent){
		"request":      func(c *ActContent) { c.Request = "second" },
		"serial":       func(c *ActContent) { c.Request, c.Serial = "", "first" },
		"CA":           func(c *ActContent) { c.Request, c.CertificateAuthority = "", "first" },
		"RA namespace": func(c *ActContent) { c.RegistrationNamespace = "x" },
		"RA name":      func(c *ActContent) { c.RegistrationName = "x" },
		"action":       func(c *ActContent) { c.Action = "Hold" },
		"reason":       func(c *ActContent) { c.Reason = "Superseded" },
		"border":       func(c *ActContent) { c.RegistrationNamespace, c.RegistrationName = "ministryr", "a" },
	} {
		c := act()
		change(&c)
		if ActDigest(c) == first {
			t.Errorf("%s: is not in the digest", name)
		}
	}
}
