package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/pkcs11"
	"github.com/terrace-pki/terrace/internal/device/software"
)

// LocalDevice is the crypto device of a process without an API server: a
// software keystore, or a PKCS#11 token.
type LocalDevice struct {
	// KeystoreDir is the folder of a software keystore, PasswordFile holds its password.
	KeystoreDir, PasswordFile string
	// PKCS11Module is the absolute path of a module, PINFile holds the token's PIN.
	PKCS11Module, TokenLabel, PINFile string
	// MechanismProfile is one of pkcs11.Profiles.
	MechanismProfile string
}

func (d LocalDevice) validate() error {
	switch {
	case (d.KeystoreDir == "") == (d.PKCS11Module == ""):
		return errors.New("--keystore-dir, --pkcs11-module: one of the two is required: where the OCSP key is made and kept")
	case d.KeystoreDir != "" && d.PasswordFile == "":
		return errors.New("--keystore-password-file: required with --keystore-dir")
	case d.PKCS11Module != "" && !filepath.IsAbs(d.PKCS11Module):
		return fmt.Errorf("--pkcs11-module %q: must be an absolute path", d.PKCS11Module)
	case d.PKCS11Module != "" && (d.TokenLabel == "" || d.PINFile == ""):
		return errors.New("--token-label, --pin-file: required with --pkcs11-module")
	}
	return nil
}

// maxSecretFile is more than any PIN or password has, in bytes.
const maxSecretFile = 4 << 10

// secretFile reads a PIN or password; a line end behind it is none of it.
func secretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(b, "\r\n"), nil
}

func (d LocalDevice) open() (device.Device, error) {
	if d.KeystoreDir != "" {
		password, err := secretFile(d.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("--keystore-password-file: %w", err)
		}
		defer clear(password)
		return software.Open(software.Config{Dir: d.KeystoreDir, Password: password})
	}
	pin, err := secretFile(d.PINFile)
	if err != nil {
		return nil, fmt.Errorf("--pin-file: %w", err)
	}
	defer clear(pin)
	profile, err := pkcs11.Lookup(d.MechanismProfile)
	if err != nil {
		return nil, fmt.Errorf("--mechanism-profile: %w", err)
	}
	return pkcs11.Open(pkcs11.Config{ModulePath: d.PKCS11Module, TokenLabel: d.TokenLabel, PIN: pin, Profile: profile})
}
