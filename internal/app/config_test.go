package app

import (
	"strings"
	"testing"
)

func TestValidateNamesTheFlag(t *testing.T) {
	good := Config{LedgerDSN: "sqlite:/x/ledger.db", ValidationAddress: ":8080", WebhookAddress: ":9443", WebhookCertDir: "/x"}
	if err := good.Validate(); err != nil {
		t.Fatalf("good configuration: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no ledger":        {func(c *Config) { c.LedgerDSN = "" }, "--ledger"},
		"unknown ledger":   {func(c *Config) { c.LedgerDSN = "mysql://u:hidden@h/d" }, "--ledger"},
		"no path":          {func(c *Config) { c.LedgerDSN = "sqlite:" }, "path is missing"},
		"relative module":  {func(c *Config) { c.PKCS11Modules = []string{"hsm.so"} }, "--pkcs11-module"},
		"no validation":    {func(c *Config) { c.ValidationAddress = "" }, "--validation-address"},
		"address":          {func(c *Config) { c.MetricsAddress = "8081" }, "--metrics-address"},
		"webhook, no cert": {func(c *Config) { c.WebhookCertDir = "" }, "--webhook-cert-dir"},
	} {
		bad := good
		c.change(&bad)
		err := bad.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the message holds the password", name)
		}
	}
}
