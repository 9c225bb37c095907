package cryptodevice_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/cryptodevice"
	"github.com/terrace-pki/terrace/hack/softsdf/softsdftest"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/sdf"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/test/interop"
)

// openSDF opens the library in the one form that these tests play.
func openSDF(_ context.Context, _ string, spec pkiv1.CryptoDeviceSpec, secret []byte) (device.Device, error) {
	keys := map[string]uint32{}
	for _, k := range spec.SDF.Keys {
		keys[k.Label] = uint32(k.Index)
	}
	return sdf.Open(sdf.Config{LibraryPath: spec.SDF.LibraryPath, Password: secret, Keys: keys, SelfTestIndex: uint32(spec.SDF.SelfTestKeyIndex),
		Form: sdf.Form{MaxBits: 512, Padding: sdf.LeadingPadding, SM2Sign: sdf.SM2SignGBT33560}, MaxSessions: int(spec.SDF.MaxSessions)})
}

// sdfTier is a tier whose CryptoDevice, the one of its CAs, is an SDF device with
// its self-test key at index 1.
func sdfTier(t *testing.T) (*controllertest.Tier, *pkiv1.CryptoDevice, softsdftest.Device, *cryptodevice.Reconciler) {
	t.Helper()
	tier, soft := controllertest.New(t), softsdftest.New(t, softsdftest.Options{})
	soft.MakeKey(t, 1)
	obj := &pkiv1.CryptoDevice{ObjectMeta: tier.Meta(controllertest.DeviceName)}
	tier.Delete(t, obj)
	obj = newSDF(tier, soft.LibraryPath)
	tier.Create(t, obj)
	r := &cryptodevice.Reconciler{Client: tier.Client, Devices: tier.Devices, Open: openSDF}
	return tier, obj, soft, r
}

func newSDF(tier *controllertest.Tier, library string, keys ...pkiv1.SDFKey) *pkiv1.CryptoDevice {
	return &pkiv1.CryptoDevice{ObjectMeta: tier.Meta(controllertest.DeviceName), Spec: pkiv1.CryptoDeviceSpec{SDF: &pkiv1.SDFDevice{
		LibraryPath: library, PasswordSecretRef: pkiv1.SecretKeyReference{Name: "sdf", Key: "password"}, SelfTestKeyIndex: 1, Keys: keys}}}
}

func TestSDFPasswordIsTriedOnce(t *testing.T) {
	tier, obj, soft, r := sdfTier(t)
	secret := tier.Secret(t, "sdf", "password", badPIN)
	for i := range 3 {
		if _, err := controllertest.Reconcile(t, tier.Client, r, obj); !errors.Is(err, reconcile.TerminalError(nil)) {
			t.Errorf("pass %d: got error %v, want a terminal one", i+1, err)
		}
		if got := controllertest.Reason(obj, pkiv1.ConditionReachable); got != "False/PINRefused" {
			t.Errorf("pass %d: Reachable: got %s, want False/PINRefused", i+1, got)
		}
		m := controllertest.Message(obj, pkiv1.ConditionReachable)
		if strings.Contains(m, badPIN) || i == 0 && !strings.Contains(m, "SDR_PRKRERR") {
			t.Errorf("pass %d: message %q has the password, or not the device's answer", i+1, m)
		}
		if n := soft.Failures(t, 1); n != 1 {
			t.Fatalf("pass %d: the device saw %d tries, want one", i+1, n)
		}
	}
	secret.Data["password"] = []byte(soft.Password)
	tier.Update(t, secret)
	if _, err := controllertest.Reconcile(t, tier.Client, r, obj); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(obj, pkiv1.ConditionReady); got != "True/Succeeded" || obj.Status.Label != "softsdf DEV" {
		t.Errorf("with the right password: Ready is %s, label %q", got, obj.Status.Label)
	}
	soft.SetFault(t, "bad-signature")
	if _, err := controllertest.Reconcile(t, tier.Client, r, obj); err == nil {
		t.Error("a device whose signatures do not verify gave no error")
	}
	if got := controllertest.Reason(obj, pkiv1.ConditionSelfTestPassed); got != "False/SelfTestFailed" {
		t.Errorf("SelfTestPassed: got %s, want False/SelfTestFailed", got)
	}
}

func TestSDFSpec(t *testing.T) {
	tier := controllertest.New(t)
	for name, c := range map[string]struct {
		change func(*pkiv1.CryptoDeviceSpec)
		want   string
	}{
		"as it is": {func(*pkiv1.CryptoDeviceSpec) {}, ""},
		"two types": {func(s *pkiv1.CryptoDeviceSpec) {
			s.Software = &pkiv1.SoftwareDevice{PasswordSecretRef: s.SDF.PasswordSecretRef}
		}, "exactly one"},
		"one index twice":        {func(s *pkiv1.CryptoDeviceSpec) { s.SDF.Keys[1].Index = 2 }, "index of its own"},
		"one label twice":        {func(s *pkiv1.CryptoDeviceSpec) { s.SDF.Keys[1].Label = "a" }, "Duplicate"},
		"self-test key in use":   {func(s *pkiv1.CryptoDeviceSpec) { s.SDF.SelfTestKeyIndex = 3 }, "selfTestKeyIndex"},
		"no self-test key":       {func(s *pkiv1.CryptoDeviceSpec) { s.SDF.SelfTestKeyIndex = 0 }, "selfTestKeyIndex"},
		"the device's own key":   {func(s *pkiv1.CryptoDeviceSpec) { s.SDF.Keys[0].Index = 0 }, "index"},
		"relative library":       {func(s *pkiv1.CryptoDeviceSpec) { s.SDF.LibraryPath = "libsdf.so" }, "libraryPath"},
		"structures of no maker": {func(s *pkiv1.CryptoDeviceSpec) { s.SDF.Structures = "Bits384" }, "structures"},
	} {
		t.Run(name, func(t *testing.T) {
			obj := newSDF(tier, "/opt/hsm/libsdf.so", pkiv1.SDFKey{Label: "a", Index: 2}, pkiv1.SDFKey{Label: "b", Index: 3})
			obj.Name = "spec"
			c.change(&obj.Spec)
			err := tier.Client.Create(t.Context(), obj)
			switch {
			case err == nil && c.want == "":
				if s := obj.Spec.SDF; s.Structures != "Bits512" || s.Padding != "Leading" || s.Algorithms != "GBT33560" || s.MaxSessions != 8 {
					t.Errorf("defaults: %+v", s)
				}
				tier.Delete(t, obj)
			case err == nil || c.want == "" || !strings.Contains(err.Error(), c.want):
				t.Errorf("create: %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestSDFCAIssues: a CA waits for the key that the maker's tool is to make at its
// index, takes it, and what it signs openssl accepts. The YAML is all that says
// where the key stands, and a wrong index is noticed.
func TestSDFCAIssues(t *testing.T) {
	tier, obj, soft, r := sdfTier(t)
	tier.Secret(t, "sdf", "password", soft.Password)
	ready := func() {
		t.Helper()
		if _, err := controllertest.Reconcile(t, tier.Client, r, obj); err != nil {
			t.Fatal(err)
		}
	}
	industryLabel := "terrace/IndustryCA/" + tier.Namespace + "/" + controllertest.IndustryName + "/g1"
	businessLabel := "terrace/BusinessCA/" + tier.Namespace + "/" + controllertest.BusinessName + "/g1"
	keys := []pkiv1.SDFKey{{Label: industryLabel, Index: 2}, {Label: businessLabel, Index: 3}}
	waits := func(ca *pkiv1.IndustryCA, want string) {
		t.Helper()
		_, _ = controllertest.Reconcile(t, tier.Client, tier.Industry(tier.Now), ca)
		if got, m := controllertest.Reason(ca, pkiv1.ConditionKeyReady), controllertest.Message(ca, pkiv1.ConditionKeyReady); got != "False/KeyMissing" || !strings.Contains(m, want) {
			t.Errorf("KeyReady: got %s: %s; want False/KeyMissing with %q", got, m, want)
		}
	}

	ready()
	waiting := tier.NewIndustryCA()
	tier.Create(t, waiting)
	waits(waiting, industryLabel)
	obj.Spec.SDF.Keys = keys
	tier.Update(t, obj)
	ready()
	waits(waiting, "at index 2")
	tier.Delete(t, waiting)

	soft.MakeKey(t, 2)
	soft.MakeKey(t, 3)
	industry := tier.ReadyIndustryCA(t)
	business := tier.ReadyBusinessCA(t)
	order := func(id string) (authority.Record, error) {
		t.Helper()
		key, err := sm2.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		name, err := pki.ParseName("CN=" + id + ",O=Ministry,C=CN")
		if err != nil {
			t.Fatal(err)
		}
		outcomes, err := tier.Authorities.Issue(t.Context(), authority.IssuerKey{Authority: "BusinessCA/" + tier.Namespace + "/" + business.Name, Generation: 1},
			[]authority.Order{{Identity: authority.Identity{Kind: "CertificateRequest", Namespace: tier.Namespace, Name: id, Digest: sm3.Sum([]byte(id))},
				Profile: pki.Profile{Name: "person", KeyUsage: pki.KeyUsagesSigning, Validity: time.Hour, Backdate: time.Minute},
				Subject: name, PublicKey: &key.PublicKey}})
		if err != nil {
			return authority.Record{}, err
		}
		return outcomes[0].Record, outcomes[0].Err
	}
	first, err := order("first")
	if err != nil {
		t.Fatal(err)
	}
	if err := interop.VerifyChain(tier.Root.CertificatePEM(), industry.Status.Certificate, business.Status.Certificate, pki.EncodePEM("CERTIFICATE", first.Certificate)); err != nil {
		t.Errorf("openssl: %v", err)
	}

	// Everything but the ledger and the device is lost, and the same YAML comes back.
	tier.Wipe(t)
	tier.Restart(t)
	if err := tier.Devices.Remove(tier.Namespace + "/" + controllertest.DeviceName); err != nil {
		t.Fatal(err)
	}
	r = &cryptodevice.Reconciler{Client: tier.Client, Devices: tier.Devices, Open: openSDF}
	obj = newSDF(tier, soft.LibraryPath, keys...)
	tier.Create(t, obj)
	ready()
	again := tier.ReadyIndustryCA(t)
	if string(again.Status.CertificateSigningRequest) != string(industry.Status.CertificateSigningRequest) {
		t.Error("another signing request after the same YAML came back")
	}
	if _, err := order("second"); err != nil {
		t.Error(err)
	}

	soft.MakeKey(t, 4)
	soft.MakeKey(t, 5)
	obj.Spec.SDF.Keys[0].Index, obj.Spec.SDF.Keys[1].Index = 4, 5
	tier.Update(t, obj)
	ready()
	waits(again, "another public key")
	if _, err := order("third"); err == nil {
		t.Error("a certificate was issued with a key that is not the CA's")
	}
}
