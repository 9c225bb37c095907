// Package app wires the parts of Terrace into running processes.
package app

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
)

// Process is what every process has. Empty addresses switch the server off.
type Process struct {
	// MetricsAddress and HealthAddress are host:port.
	MetricsAddress string
	HealthAddress  string
}

func (p Process) validate() error {
	return errors.Join(address("--metrics-address", p.MetricsAddress), address("--health-address", p.HealthAddress))
}

// Core is what a process needs that holds the keys and the ledger.
type Core struct {
	// LedgerDSN is "sqlite:<path>" or a PostgreSQL URL. It may hold a password
	// and is never logged.
	LedgerDSN string
	// Instance tells the processes apart that share a PostgreSQL ledger; empty: "ca".
	Instance string
	// KeystoreDir holds the software keystores; empty: CryptoDevices of kind software are refused.
	KeystoreDir string
	// PKCS11Modules are the absolute paths that a CryptoDevice may name.
	PKCS11Modules []string
	// SDFLibraries are the absolute paths that a CryptoDevice may name.
	SDFLibraries []string
	// LimitsFile bounds what the CAs may issue, whatever the API says.
	LimitsFile string
	// AuditDevice is "namespace/name" of the CryptoDevice whose key signs the audit
	// log's checkpoints; empty: nobody signs them.
	AuditDevice string
	// TierNamespaces are those whose Secrets are read; empty: every one.
	TierNamespaces []string
}

func (c Core) validate() error {
	if _, _, err := dsn("--ledger", c.LedgerDSN, "TERRACE_LEDGER"); err != nil {
		return err
	}
	if namespace, name, ok := strings.Cut(c.AuditDevice, "/"); c.AuditDevice != "" && (!ok || namespace == "" || name == "" || strings.Contains(name, "/")) {
		return fmt.Errorf("--audit-device %q: want namespace/name of a CryptoDevice", c.AuditDevice)
	}
	for _, m := range c.PKCS11Modules {
		if !filepath.IsAbs(m) {
			return fmt.Errorf("--pkcs11-module %q: must be an absolute path", m)
		}
	}
	for _, l := range c.SDFLibraries {
		if !filepath.IsAbs(l) {
			return fmt.Errorf("--sdf-library %q: must be an absolute path", l)
		}
	}
	return nil
}

func (c Core) allowsModule(path string) bool { return slices.Contains(c.PKCS11Modules, path) }

// Webhooks is where the API server finds the admission webhooks.
type Webhooks struct {
	WebhookAddress string
	// WebhookCertDir holds tls.crt and tls.key of the webhook server.
	WebhookCertDir string
}

func (w Webhooks) validate() error {
	if w.WebhookAddress != "" && w.WebhookCertDir == "" {
		return errors.New("--webhook-cert-dir: required with --webhook-address; it holds tls.crt and tls.key")
	}
	return address("--webhook-address", w.WebhookAddress)
}

// Config of the process that does everything. Validate before use.
type Config struct {
	Process
	Core
	Webhooks
	// RegistrationDSN of the RA's database, as LedgerDSN.
	RegistrationDSN string
	// ValidationAddress is host:port of OCSP, CRLs and CA certificates.
	ValidationAddress string
	// DirectoryCAFile holds the PEM certificates that directory servers are
	// verified against when their Directory names none; may be empty.
	DirectoryCAFile string
	// StateDir keeps what the pusher remembers.
	StateDir string
}

// Validate says which flag is wrong and how to mend it.
func (c Config) Validate() error {
	if err := errors.Join(c.Core.validate(), c.Process.validate(), c.Webhooks.validate()); err != nil {
		return err
	}
	if _, _, err := dsn("--registration-store", c.RegistrationDSN, "TERRACE_REGISTRATION_STORE"); err != nil {
		return err
	}
	if c.StateDir == "" {
		return errors.New("--state-dir: required: what the push to directories goes on from when the API server is away")
	}
	if c.ValidationAddress == "" {
		return errors.New("--validation-address: required, host:port for OCSP, CRLs and CA certificates")
	}
	return address("--validation-address", c.ValidationAddress)
}

// address checks host:port; empty is allowed.
func address(flag, addr string) error {
	if addr == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return fmt.Errorf("%s %q: want host:port", flag, addr)
	}
	return nil
}

// dsn splits a database's name into its driver and what the driver takes. The
// errors do not repeat it: it may hold a password.
func dsn(flag, value, env string) (driver, rest string, err error) {
	switch {
	case value == "":
		return "", "", fmt.Errorf("%s: required: sqlite:<path>, or a PostgreSQL URL (give it by %s-file or %s, so that the password is not in the process list)", flag, flag, env)
	case strings.HasPrefix(value, "sqlite:"):
		path := strings.TrimPrefix(value, "sqlite:")
		if path == "" {
			return "", "", fmt.Errorf("%s sqlite: the path is missing: sqlite:/var/lib/terrace/database.db", flag)
		}
		return "sqlite", path, nil
	case strings.HasPrefix(value, "postgres://"), strings.HasPrefix(value, "postgresql://"):
		return "postgres", value, nil
	}
	return "", "", fmt.Errorf("%s: want sqlite:<path>, or a URL that begins with postgresql:// or postgres:// and names the host", flag)
}
