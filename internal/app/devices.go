package app

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/cryptodevice"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/pkcs11"
	"github.com/terrace-pki/terrace/internal/device/software"
)

// opener opens the devices that the API declares, within what this process's
// own configuration allows: the API cannot widen it.
func (c Core) opener() cryptodevice.Opener {
	return func(_ context.Context, name string, spec pkiv1.CryptoDeviceSpec, secret []byte) (device.Device, error) {
		switch {
		case spec.PKCS11 != nil:
			p := spec.PKCS11
			if !c.allowsModule(p.ModulePath) {
				return nil, fmt.Errorf("spec.pkcs11.modulePath %q: %w: start the process with --pkcs11-module=%s", p.ModulePath, cryptodevice.ErrModuleNotAllowed, p.ModulePath)
			}
			profile, err := pkcs11.Lookup(p.MechanismProfile)
			if err != nil {
				return nil, fmt.Errorf("spec.pkcs11.mechanismProfile: %w: %w", cryptodevice.ErrProfileUnknown, err)
			}
			return pkcs11.Open(pkcs11.Config{ModulePath: p.ModulePath, TokenLabel: p.TokenLabel, Slot: p.Slot, PIN: secret,
				Profile: profile, MaxSessions: int(p.MaxSessions)})
		case spec.Software != nil:
			if c.KeystoreDir == "" {
				return nil, fmt.Errorf("spec.software: %w: start the process with --keystore-dir", cryptodevice.ErrModuleNotAllowed)
			}
			return software.Open(software.Config{Dir: filepath.Join(c.KeystoreDir, strings.ReplaceAll(name, "/", "_")), Password: secret})
		}
		return nil, fmt.Errorf("open crypto device %s: spec names neither pkcs11 nor software", name)
	}
}
