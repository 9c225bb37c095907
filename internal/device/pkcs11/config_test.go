package pkcs11

import (
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for name, p := range Profiles() {
		if err := p.Validate(); err != nil {
			t.Errorf("built-in profile %s: %v", name, err)
		}
		if got, err := Lookup(name); err != nil || got != p {
			t.Errorf("Lookup(%q) = %+v, %v; want %+v", name, got, err, p)
		}
	}
	_, err := Lookup("sansec")
	if err == nil || !strings.Contains(err.Error(), "IBM, IBM-Message, Luna, Luna-Message, Sansec, Sansec-Message, TASS, TASS-Message") {
		t.Errorf("Lookup of an unknown name: %v, want an error that lists the known ones", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"relative path":       {func(c *Config) { c.ModulePath = "libtoken.so" }, "not absolute"},
		"no token":            {func(c *Config) { c.TokenLabel = "" }, "neither token label nor slot"},
		"long label":          {func(c *Config) { c.TokenLabel = strings.Repeat("x", 33) }, "33 bytes"},
		"negative slot":       {func(c *Config) { n := int64(-1); c.Slot = &n }, "negative"},
		"no PIN":              {func(c *Config) { c.PIN = nil }, "PIN has 0 bytes"},
		"long PIN":            {func(c *Config) { c.PIN = make([]byte, MaxPIN+1) }, "PIN has 256 bytes"},
		"too many sessions":   {func(c *Config) { c.MaxSessions = MaxMaxSessions + 1 }, "MaxSessions is 257"},
		"negative sessions":   {func(c *Config) { c.MaxSessions = -1 }, "MaxSessions is -1"},
		"negative wait":       {func(c *Config) { c.Wait = -1 }, "negative"},
		"no mechanism":        {func(c *Config) { c.Profile.Sign = 0 }, "no sign mechanism"},
		"no key generation":   {func(c *Config) { c.Profile.KeyPairGen = 0 }, "no key-pair generation"},
		"bad input":           {func(c *Config) { c.Profile.Input = "Hash" }, `"Hash" is neither`},
		"bad signature form":  {func(c *Config) { c.Profile.Signature = "" }, "signature form"},
		"bad point form":      {func(c *Config) { c.Profile.Point = "" }, "point form"},
		"bad cipher form":     {func(c *Config) { c.Profile.Cipher = "" }, "cipher form"},
		"PIN is never quoted": {func(c *Config) { c.PIN = []byte("s3cret"); c.TokenLabel = "" }, "neither"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{ModulePath: "/no/such.so", TokenLabel: "ca", PIN: []byte("1234"), Profile: Profiles()["Sansec"]}
			tc.change(&cfg)
			d, err := Open(cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Open = %v, %v; want an error with %q", d, err, tc.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error tells the PIN: %v", err)
			}
		})
	}
}
