package app

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/cryptodevice"
	"github.com/terrace-pki/terrace/hack/softsdf/softsdftest"
)

// TestOpenSDF: a spec reaches the library that it describes, once the process's own
// flag allows it.
func TestOpenSDF(t *testing.T) {
	for name, c := range map[string]struct {
		plays softsdftest.Options
		spec  pkiv1.SDFDevice
	}{
		"defaults": {softsdftest.Options{}, pkiv1.SDFDevice{Structures: "Bits512", Padding: "Leading", Algorithms: "GBT33560"}},
		"early":    {softsdftest.Options{MaxBits: "256", SignAlgorithm: "0x20100"}, pkiv1.SDFDevice{Structures: "Bits256", Padding: "Leading", Algorithms: "Early"}},
		"trailing": {softsdftest.Options{Padding: "trailing"}, pkiv1.SDFDevice{Structures: "Bits512", Padding: "Trailing", Algorithms: "GBT33560"}},
	} {
		t.Run(name, func(t *testing.T) {
			soft := softsdftest.New(t, c.plays)
			soft.MakeKey(t, 5)
			soft.MakeKey(t, 6)
			c.spec.LibraryPath, c.spec.SelfTestKeyIndex, c.spec.MaxSessions = soft.LibraryPath, 5, 2
			c.spec.Keys = []pkiv1.SDFKey{{Label: "ca", Index: 6}}
			spec := pkiv1.CryptoDeviceSpec{SDF: &c.spec}
			if _, err := (Core{PKCS11Modules: []string{soft.LibraryPath}}).opener()(t.Context(), "ns/hsm", spec, []byte(soft.Password)); !errors.Is(err, cryptodevice.ErrModuleNotAllowed) {
				t.Errorf("a library that no --sdf-library allows: %v, want ErrModuleNotAllowed", err)
			}
			d, err := Core{SDFLibraries: []string{soft.LibraryPath}}.opener()(t.Context(), "ns/hsm", spec, []byte(soft.Password))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			if err := d.SelfTest(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := d.Key(t.Context(), "ca"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLocalSDFDevice: a process without an API server signs with the key at the
// index that its flags name.
func TestLocalSDFDevice(t *testing.T) {
	soft := softsdftest.New(t, softsdftest.Options{MaxBits: "256"})
	soft.MakeKey(t, 1)
	soft.MakeKey(t, 2)
	passwordFile := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(passwordFile, []byte(soft.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	local := LocalDevice{SDFPasswordFile: passwordFile, SDFKeyIndex: 2,
		SDF: pkiv1.SDFDevice{LibraryPath: soft.LibraryPath, SelfTestKeyIndex: 1, Structures: "Bits256", Padding: "Leading", Algorithms: "GBT33560"}}
	if err := local.validate(); err != nil {
		t.Fatal(err)
	}
	d, err := local.open("terrace/ValidationNode/a/g1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.SelfTest(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := d.Key(t.Context(), "terrace/ValidationNode/a/g1"); err != nil {
		t.Error(err)
	}
}
