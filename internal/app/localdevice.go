package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/pkcs11"
	"github.com/terrace-pki/terrace/internal/device/sdf"
	"github.com/terrace-pki/terrace/internal/device/software"
)

// LocalDevice is the crypto device of a process without an API server: a
// software keystore, a PKCS#11 token, or a device behind an SDF library.
type LocalDevice struct {
	// KeystoreDir is the folder of a software keystore, PasswordFile holds its password.
	KeystoreDir, PasswordFile string
	// PKCS11Module is the absolute path of a module, PINFile holds the token's PIN.
	PKCS11Module, TokenLabel, PINFile string
	// MechanismProfile is one of pkcs11.Profiles.
	MechanismProfile string
	// SDF is the device as a CryptoDevice declares it. SDFPasswordFile stands in place
	// of its passwordSecretRef, and SDFKeyIndex, where the process's one key is, of its keys.
	SDF             pkiv1.SDFDevice
	SDFPasswordFile string
	SDFKeyIndex     int32
}

func (d LocalDevice) validate() error {
	chosen := 0
	for _, where := range []string{d.KeystoreDir, d.PKCS11Module, d.SDF.LibraryPath} {
		if where != "" {
			chosen++
		}
	}
	switch {
	case chosen != 1:
		return errors.New("--keystore-dir, --pkcs11-module, --sdf-library: one of the three is required: where the OCSP key is kept")
	case d.KeystoreDir != "" && d.PasswordFile == "":
		return errors.New("--keystore-password-file: required with --keystore-dir")
	case d.PKCS11Module != "" && !filepath.IsAbs(d.PKCS11Module):
		return fmt.Errorf("--pkcs11-module %q: must be an absolute path", d.PKCS11Module)
	case d.PKCS11Module != "" && (d.TokenLabel == "" || d.PINFile == ""):
		return errors.New("--token-label, --pin-file: required with --pkcs11-module")
	case d.SDF.LibraryPath != "":
		return d.validateSDF()
	}
	return nil
}

// validateSDF checks what an API server would: the device itself is opened later.
func (d LocalDevice) validateSDF() error {
	s := d.SDF
	switch {
	case !filepath.IsAbs(s.LibraryPath):
		return fmt.Errorf("--sdf-library %q: must be an absolute path", s.LibraryPath)
	case d.SDFPasswordFile == "":
		return errors.New("--sdf-password-file: required with --sdf-library")
	case s.Structures != pkiv1.SDFStructuresBits512 && s.Structures != pkiv1.SDFStructuresBits256:
		return fmt.Errorf("--sdf-structures %q: must be %s or %s", s.Structures, pkiv1.SDFStructuresBits512, pkiv1.SDFStructuresBits256)
	case s.Padding != pkiv1.SDFPaddingLeading && s.Padding != pkiv1.SDFPaddingTrailing:
		return fmt.Errorf("--sdf-padding %q: must be %s or %s", s.Padding, pkiv1.SDFPaddingLeading, pkiv1.SDFPaddingTrailing)
	case s.Algorithms != pkiv1.SDFAlgorithmsGBT33560 && s.Algorithms != pkiv1.SDFAlgorithmsEarly:
		return fmt.Errorf("--sdf-algorithms %q: must be %s or %s", s.Algorithms, pkiv1.SDFAlgorithmsGBT33560, pkiv1.SDFAlgorithmsEarly)
	}
	for _, index := range []struct {
		flag  string
		value int32
	}{{"--sdf-key-index", d.SDFKeyIndex}, {"--sdf-self-test-key-index", s.SelfTestKeyIndex}} {
		if index.value < 1 || index.value > sdf.MaxIndex {
			return fmt.Errorf("%s %d: must be the index of a key pair, 1 to %d", index.flag, index.value, sdf.MaxIndex)
		}
	}
	if d.SDFKeyIndex == s.SelfTestKeyIndex {
		return fmt.Errorf("--sdf-key-index, --sdf-self-test-key-index: both are %d; each key has an index of its own", s.SelfTestKeyIndex)
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

// open opens the device; keyLabel is the label that an SDF device knows its one key by.
func (d LocalDevice) open(keyLabel string) (device.Device, error) {
	if d.KeystoreDir != "" {
		password, err := secretFile(d.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("--keystore-password-file: %w", err)
		}
		defer clear(password)
		return software.Open(software.Config{Dir: d.KeystoreDir, Password: password})
	}
	if d.SDF.LibraryPath != "" {
		password, err := secretFile(d.SDFPasswordFile)
		if err != nil {
			return nil, fmt.Errorf("--sdf-password-file: %w", err)
		}
		defer clear(password)
		spec := d.SDF
		spec.Keys = []pkiv1.SDFKey{{Label: keyLabel, Index: d.SDFKeyIndex}}
		return sdf.Open(sdfConfig(&spec, password))
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
