package cryptodevice_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/cryptodevice"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
)

// twins are two CryptoDevices, "a" with the standby "b", in the keystores a and b of
// one folder.
type twins struct {
	*controllertest.Tier
	dir   string
	tries map[string]int // openings of each device
	r     *cryptodevice.Reconciler
	a, b  *pkiv1.CryptoDevice
}

func newTwins(t *testing.T, pinOfA string) *twins {
	t.Helper()
	w := &twins{Tier: controllertest.New(t), dir: t.TempDir(), tries: map[string]int{}}
	w.restart()
	for name, pin := range map[string]string{"a": pinOfA, "b": goodPIN} {
		w.Secret(t, "pin-"+name, "pin", pin)
		obj := &pkiv1.CryptoDevice{ObjectMeta: w.Meta(name), Spec: pkiv1.CryptoDeviceSpec{
			Software: &pkiv1.SoftwareDevice{PasswordSecretRef: pkiv1.SecretKeyReference{Name: "pin-" + name, Key: "pin"}}}}
		if name == "a" {
			obj.Spec.StandbyRef, w.a = &pkiv1.LocalObjectReference{Name: "b"}, obj
		} else {
			w.b = obj
		}
		w.Create(t, obj)
	}
	return w
}

// restart makes the reconciler of another process.
func (w *twins) restart() {
	w.r = &cryptodevice.Reconciler{Client: w.Client, Devices: w.Devices, Open: w.open}
}

func (w *twins) open(_ context.Context, name string, _ pkiv1.CryptoDeviceSpec, secret []byte) (device.Device, error) {
	short := filepath.Base(name)
	w.tries[short]++
	if string(secret) != goodPIN {
		return nil, fmt.Errorf("open %s: %w", name, &device.PINError{Device: name})
	}
	return software.Open(software.Config{Dir: filepath.Join(w.dir, short), Password: secret})
}

func (w *twins) reconcile(t *testing.T, obj *pkiv1.CryptoDevice) error {
	t.Helper()
	_, err := controllertest.Reconcile(t, w.Client, w.r, obj)
	return err
}

// want compares conditions, "True/Succeeded" by type.
func (w *twins) want(t *testing.T, when string, conditions map[string]string) {
	t.Helper()
	for condition, want := range conditions {
		if got := controllertest.Reason(w.a, condition); got != want {
			t.Errorf("%s: %s: got %s (%s), want %s", when, condition, got, controllertest.Message(w.a, condition), want)
		}
	}
}

func (w *twins) copyKeys(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(w.dir, "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(w.dir, "b"), os.DirFS(filepath.Join(w.dir, "a"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(w.dir, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestRedundant(t *testing.T) {
	w := newTwins(t, goodPIN)
	name := w.Namespace + "/a"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.reconcile(t, w.a))
	w.want(t, "without the standby", map[string]string{"Ready": "True/Succeeded", "Redundant": "False/DeviceUnavailable"})
	must(w.reconcile(t, w.b))
	must(w.reconcile(t, w.a))
	w.want(t, "before there is a key", map[string]string{"Ready": "True/Succeeded", "Redundant": "True/Succeeded"})
	if got := controllertest.Reason(w.b, pkiv1.ConditionRedundant); got != "absent" {
		t.Errorf("the device without a standby has the condition Redundant: %s", got)
	}

	dev, err := w.Devices.Get(name)
	must(err)
	key, err := dev.GenerateKey(t.Context(), "ca")
	must(err)
	must(w.reconcile(t, w.a))
	w.want(t, "before the key is copied", map[string]string{"Ready": "True/Succeeded", "Redundant": "False/KeyMissing"})
	w.copyKeys(t)
	must(w.reconcile(t, w.a))
	w.want(t, "after the key was copied", map[string]string{"Ready": "True/Succeeded", "Redundant": "True/Succeeded"})

	own, err := w.Devices.Own(name)
	must(err)
	must(own.Close()) // the first device dies
	if _, err := key.SignMessage(nil, []byte("message"), nil); err != nil {
		t.Errorf("sign by the standby: %v", err)
	}
	must(w.reconcile(t, w.a))
	w.want(t, "on the standby", map[string]string{"Ready": "True/Succeeded", "Reachable": "True/StandbyActive",
		"SelfTestPassed": "True/Succeeded", "Redundant": "False/DeviceUnavailable"})

	want := fmt.Sprintf(`
# HELP terrace_crypto_device_member_working 1 when this member of the crypto device works, 0 while it is left out.
# TYPE terrace_crypto_device_member_working gauge
terrace_crypto_device_member_working{device="%[1]s/a",member="%[1]s/a"} 0
terrace_crypto_device_member_working{device="%[1]s/a",member="%[1]s/b"} 1
terrace_crypto_device_member_working{device="%[1]s/b",member="%[1]s/b"} 1
# HELP terrace_crypto_device_signatures_total Signatures that this member of the crypto device was asked for, by result.
# TYPE terrace_crypto_device_signatures_total counter
terrace_crypto_device_signatures_total{device="%[1]s/a",member="%[1]s/a",result="failed"} 1
terrace_crypto_device_signatures_total{device="%[1]s/a",member="%[1]s/a",result="made"} 0
terrace_crypto_device_signatures_total{device="%[1]s/a",member="%[1]s/b",result="failed"} 0
terrace_crypto_device_signatures_total{device="%[1]s/a",member="%[1]s/b",result="made"} 1
terrace_crypto_device_signatures_total{device="%[1]s/b",member="%[1]s/b",result="failed"} 0
terrace_crypto_device_signatures_total{device="%[1]s/b",member="%[1]s/b",result="made"} 0
`, w.Namespace)
	if err := testutil.CollectAndCompare(cryptodevice.Collector{Devices: w.Devices}, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestStandbyHoldsAnotherKey(t *testing.T) {
	w := newTwins(t, goodPIN)
	for _, obj := range []*pkiv1.CryptoDevice{w.b, w.a} {
		if err := w.reconcile(t, obj); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		dev, err := w.Devices.Get(w.Namespace + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dev.GenerateKey(t.Context(), "ca"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.reconcile(t, w.a); err != nil {
		t.Fatal(err)
	}
	w.want(t, "with different keys", map[string]string{"Ready": "True/Succeeded", "Redundant": "False/KeyDiffers"})
}

// TestRefusedPINWithAStandby: the standby works, and no second try is spent on the
// first device, also by another process.
func TestRefusedPINWithAStandby(t *testing.T) {
	w := newTwins(t, badPIN)
	if err := w.reconcile(t, w.b); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if i == 2 {
			w.restart()
			if err := w.reconcile(t, w.b); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.reconcile(t, w.a); err != nil {
			t.Fatalf("pass %d: %v", i+1, err)
		}
		w.want(t, fmt.Sprintf("pass %d", i+1), map[string]string{"Ready": "True/Succeeded", "Reachable": "True/StandbyActive", "Redundant": "False/DeviceUnavailable"})
		if w.tries["a"] != 1 {
			t.Fatalf("pass %d: the PIN was tried %d times, want once", i+1, w.tries["a"])
		}
	}
	if _, err := w.Devices.Key(t.Context(), w.Namespace+"/a", "none"); !errors.Is(err, device.ErrUnavailable) {
		t.Errorf("Key that the refused device may hold: %v, want ErrUnavailable", err)
	}
}

// TestMistypedPINDoesNotSwitchOver: a device that works goes on with its own PIN.
func TestMistypedPINDoesNotSwitchOver(t *testing.T) {
	w := newTwins(t, goodPIN)
	for _, obj := range []*pkiv1.CryptoDevice{w.b, w.a} {
		if err := w.reconcile(t, obj); err != nil {
			t.Fatal(err)
		}
	}
	before, err := w.Devices.Get(w.Namespace + "/a")
	if err != nil {
		t.Fatal(err)
	}
	secret := w.Secret(t, "pin-wrong", "pin", badPIN)
	w.a.Spec.Software.PasswordSecretRef.Name = secret.Name
	w.Update(t, w.a)
	for range 2 {
		if err := w.reconcile(t, w.a); !errors.Is(err, reconcile.TerminalError(nil)) {
			t.Errorf("reconcile: %v, want a terminal error", err)
		}
		w.want(t, "with a mistyped PIN", map[string]string{"Ready": "False/PINRefused"})
	}
	if w.tries["a"] != 2 {
		t.Errorf("the device was opened %d times, want once with each PIN", w.tries["a"])
	}
	if after, err := w.Devices.Get(w.Namespace + "/a"); err != nil || after != before {
		t.Errorf("the device that works was replaced (%v)", err)
	}
	if err := before.SelfTest(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStandbyIsAnotherDevice(t *testing.T) {
	tier := controllertest.New(t)
	obj := &pkiv1.CryptoDevice{ObjectMeta: tier.Meta("self"), Spec: pkiv1.CryptoDeviceSpec{
		StandbyRef: &pkiv1.LocalObjectReference{Name: "self"},
		Software:   &pkiv1.SoftwareDevice{PasswordSecretRef: pkiv1.SecretKeyReference{Name: "pin", Key: "pin"}}}}
	if err := tier.Client.Create(t.Context(), obj); err == nil || !strings.Contains(err.Error(), "names this device itself") {
		t.Errorf("Create: %v, want it refused", err)
	}
}
