// Package app wires the parts of Terrace into one running process.
package app

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
)

// Config of a process, as flags and files give it. Validate before use.
type Config struct {
	// LedgerDSN is "sqlite:<path>" or a PostgreSQL URL. It may hold a password
	// and is never logged.
	LedgerDSN string
	// KeystoreDir holds the software keystores; empty: CryptoDevices of kind software are refused.
	KeystoreDir string
	// PKCS11Modules are the absolute paths that a CryptoDevice may name.
	PKCS11Modules []string
	// ValidationAddress, MetricsAddress, HealthAddress and WebhookAddress are
	// host:port; empty metrics, health and webhook addresses switch the server off.
	ValidationAddress string
	MetricsAddress    string
	HealthAddress     string
	WebhookAddress    string
	// WebhookCertDir holds tls.crt and tls.key of the webhook server.
	WebhookCertDir string
}

// Validate says which flag is wrong and how to mend it.
func (c Config) Validate() error {
	if c.LedgerDSN == "" {
		return errors.New("--ledger: required: sqlite:<path>, or a PostgreSQL URL (give it by --ledger-file or TERRACE_LEDGER, so that the password is not in the process list)")
	}
	if _, _, err := c.ledger(); err != nil {
		return err
	}
	for _, m := range c.PKCS11Modules {
		if !filepath.IsAbs(m) {
			return fmt.Errorf("--pkcs11-module %q: must be an absolute path", m)
		}
	}
	if c.ValidationAddress == "" {
		return errors.New("--validation-address: required, host:port for OCSP, CRLs and CA certificates")
	}
	for flag, addr := range map[string]string{"--validation-address": c.ValidationAddress, "--metrics-address": c.MetricsAddress,
		"--health-address": c.HealthAddress, "--webhook-address": c.WebhookAddress} {
		if addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("%s %q: want host:port", flag, addr)
		}
	}
	if c.WebhookAddress != "" && c.WebhookCertDir == "" {
		return errors.New("--webhook-cert-dir: required with --webhook-address; it holds tls.crt and tls.key")
	}
	return nil
}

// ledger splits the DSN into its driver and what the driver takes.
func (c Config) ledger() (driver, rest string, err error) {
	switch {
	case strings.HasPrefix(c.LedgerDSN, "sqlite:"):
		path := strings.TrimPrefix(c.LedgerDSN, "sqlite:")
		if path == "" {
			return "", "", errors.New("--ledger sqlite: the path is missing: sqlite:/var/lib/terrace/ledger.db")
		}
		return "sqlite", path, nil
	case strings.HasPrefix(c.LedgerDSN, "postgres://"), strings.HasPrefix(c.LedgerDSN, "postgresql://"):
		return "postgres", c.LedgerDSN, nil
	}
	return "", "", errors.New("--ledger: want sqlite:<path>, or a URL that begins with postgresql:// or postgres:// and names the host")
}

func (c Config) allowsModule(path string) bool { return slices.Contains(c.PKCS11Modules, path) }
