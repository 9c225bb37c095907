package sdf

import (
	"strings"
	"testing"

	"github.com/terrace-pki/terrace/internal/device"
)

func TestConfig(t *testing.T) {
	good := func() Config {
		return Config{LibraryPath: "/lib/sdf.so", Password: []byte("password"), Keys: map[string]uint32{"ca": 2}, SelfTestIndex: 1,
			Form: Form{512, LeadingPadding, SM2SignGBT33560}}
	}
	got, err := good().validate()
	if err != nil || got.MaxSessions != DefaultMaxSessions || got.Wait != DefaultWait {
		t.Fatalf("validate: %v; %d sessions, wait %v", err, got.MaxSessions, got.Wait)
	}
	many := map[string]uint32{}
	for i := range MaxKeys + 1 {
		many[strings.Repeat("k", i+1)] = uint32(i + 2)
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"relative library":     {func(c *Config) { c.LibraryPath = "sdf.so" }, "not absolute"},
		"no password":          {func(c *Config) { c.Password = nil }, "password has 0 bytes"},
		"long password":        {func(c *Config) { c.Password = make([]byte, MaxPassword+1) }, "password has 256 bytes"},
		"too many keys":        {func(c *Config) { c.Keys = many }, "at most 64"},
		"device's own key":     {func(c *Config) { c.Keys["ca"] = 0 }, "key index 0"},
		"index too high":       {func(c *Config) { c.Keys["ca"] = MaxIndex + 1 }, "key index 65536"},
		"index twice":          {func(c *Config) { c.Keys["other"] = 2 }, "same index 2"},
		"self-test key shared": {func(c *Config) { c.SelfTestIndex = 2 }, "same index 2"},
		"no self-test key":     {func(c *Config) { c.SelfTestIndex = 0 }, "self-test key"},
		"reserved label":       {func(c *Config) { c.Keys = map[string]uint32{device.SelfTestLabel: 2} }, "reserved"},
		"many sessions":        {func(c *Config) { c.MaxSessions = MaxMaxSessions + 1 }, "MaxSessions"},
		"negative wait":        {func(c *Config) { c.Wait = -1 }, "negative"},
		"bits":                 {func(c *Config) { c.Form.MaxBits = 384 }, "384"},
		"padding":              {func(c *Config) { c.Form.Padding = "" }, "padding"},
		"algorithm":            {func(c *Config) { c.Form.SM2Sign = 0x10000 }, "0x10000"},
	} {
		c := good()
		tc.change(&c)
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "password\"") {
			t.Errorf("%s: %v, want an error with %q", name, err, tc.want)
		}
	}
}
