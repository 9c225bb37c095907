package app

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/cryptodevice"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/pkcs11"
	"github.com/terrace-pki/terrace/internal/device/sdf"
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
		case spec.SDF != nil:
			if !slices.Contains(c.SDFLibraries, spec.SDF.LibraryPath) {
				return nil, fmt.Errorf("spec.sdf.libraryPath %q: %w: start the process with --sdf-library=%s", spec.SDF.LibraryPath, cryptodevice.ErrModuleNotAllowed, spec.SDF.LibraryPath)
			}
			return sdf.Open(sdfConfig(spec.SDF, secret))
		case spec.Software != nil:
			if c.KeystoreDir == "" {
				return nil, fmt.Errorf("spec.software: %w: start the process with --keystore-dir", cryptodevice.ErrModuleNotAllowed)
			}
			return software.Open(software.Config{Dir: filepath.Join(c.KeystoreDir, strings.ReplaceAll(name, "/", "_")), Password: secret})
		}
		return nil, fmt.Errorf("open crypto device %s: spec names none of pkcs11, sdf and software", name)
	}
}

func sdfConfig(s *pkiv1.SDFDevice, password []byte) sdf.Config {
	form := sdf.Form{MaxBits: 512, Padding: sdf.Padding(s.Padding), SM2Sign: sdf.SM2SignGBT33560}
	if s.Structures == pkiv1.SDFStructuresBits256 {
		form.MaxBits = 256
	}
	if s.Algorithms == pkiv1.SDFAlgorithmsEarly {
		form.SM2Sign = sdf.SM2SignEarly
	}
	keys := map[string]uint32{}
	for _, k := range s.Keys {
		keys[k.Label] = uint32(k.Index)
	}
	return sdf.Config{LibraryPath: s.LibraryPath, Password: password, Keys: keys, SelfTestIndex: uint32(s.SelfTestKeyIndex),
		Form: form, MaxSessions: int(s.MaxSessions)}
}
