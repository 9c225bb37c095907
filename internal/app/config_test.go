package app

import (
	"strings"
	"testing"
)

// validated is the configuration of any process.
type validated interface{ Validate() error }

var goodLinks = Links{Name: "x", TransportDir: "/x", MessageKeyFile: "/x/key.pem", PeersFile: "/x/peers.yaml"}

func goodAll() Config {
	return Config{Core: Core{LedgerDSN: "sqlite:/x/ledger.db"}, Webhooks: Webhooks{WebhookAddress: ":9443", WebhookCertDir: "/x"},
		StateDir: "/x", RegistrationDSN: "sqlite:/x/registration.db", ValidationAddress: ":8080"}
}

func goodCA() CAConfig {
	return CAConfig{Core: Core{LedgerDSN: "sqlite:/x/ledger.db", LimitsFile: "/x/limits.yaml"}, Links: goodLinks, LinkAddress: ":9444"}
}

func goodRA() RAConfig {
	return RAConfig{Links: goodLinks, RegistrationDSN: "postgres://h/d", CAURL: "https://ca:9444", CAName: "ca"}
}

func goodManager() ManagerConfig {
	return ManagerConfig{Webhooks: Webhooks{WebhookAddress: ":9443", WebhookCertDir: "/x"}}
}

func TestGoodConfigurations(t *testing.T) {
	for name, c := range map[string]validated{"run": goodAll(), "ca": goodCA(), "ra": goodRA(), "manager": goodManager()} {
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateNamesTheFlag(t *testing.T) {
	all := func(change func(*Config)) validated { c := goodAll(); change(&c); return c }
	ca := func(change func(*CAConfig)) validated { c := goodCA(); change(&c); return c }
	ra := func(change func(*RAConfig)) validated { c := goodRA(); change(&c); return c }
	manager := func(change func(*ManagerConfig)) validated { c := goodManager(); change(&c); return c }
	for name, c := range map[string]struct {
		bad  validated
		want string
	}{
		"no ledger":             {all(func(c *Config) { c.LedgerDSN = "" }), "--ledger"},
		"unknown ledger":        {all(func(c *Config) { c.LedgerDSN = "mysql://u:hidden@h/d" }), "--ledger"},
		"no path":               {all(func(c *Config) { c.LedgerDSN = "sqlite:" }), "path is missing"},
		"no registration":       {all(func(c *Config) { c.RegistrationDSN = "" }), "--registration-store"},
		"no state":              {all(func(c *Config) { c.StateDir = "" }), "--state-dir"},
		"relative module":       {all(func(c *Config) { c.PKCS11Modules = []string{"hsm.so"} }), "--pkcs11-module"},
		"relative library":      {all(func(c *Config) { c.SDFLibraries = []string{"sdf.so"} }), "--sdf-library"},
		"audit device, no name": {all(func(c *Config) { c.AuditDevice = "ministry" }), "--audit-device"},
		"audit device, deep":    {all(func(c *Config) { c.AuditDevice = "a/b/c" }), "--audit-device"},
		"no validation":         {all(func(c *Config) { c.ValidationAddress = "" }), "--validation-address"},
		"address":               {all(func(c *Config) { c.MetricsAddress = "8081" }), "--metrics-address"},
		"webhook, no cert":      {all(func(c *Config) { c.WebhookCertDir = "" }), "--webhook-cert-dir"},
		"ca without limits":     {ca(func(c *CAConfig) { c.LimitsFile = "" }), "--limits"},
		"ca without a link":     {ca(func(c *CAConfig) { c.LinkAddress = "" }), "--link-address"},
		"ca without peers":      {ca(func(c *CAConfig) { c.PeersFile = "" }), "--peers"},
		"ca without transport":  {ca(func(c *CAConfig) { c.TransportDir = "" }), "--transport-dir"},
		"ra without a CA":       {ra(func(c *RAConfig) { c.CAURL = "" }), "--ca-url"},
		"ra without a key":      {ra(func(c *RAConfig) { c.MessageKeyFile = "" }), "--message-key"},
		"ra with a bad store":   {ra(func(c *RAConfig) { c.RegistrationDSN = "mysql://u:hidden@h/d" }), "--registration-store"},
		"election, no lease":    {ra(func(c *RAConfig) { c.LeaderElect = true }), "--election-namespace"},
		"manager, no webhooks":  {manager(func(c *ManagerConfig) { c.WebhookAddress = "" }), "--webhook-address"},
		"manager, no transport": {manager(func(c *ManagerConfig) { c.Transport.Processes = []TransportProcess{{}} }), "--transport-namespace"},
	} {
		err := c.bad.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the message holds the password", name)
		}
	}
}
