package cryptodevice_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/cryptodevice"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/software"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

const goodPIN, badPIN = "the right PIN of the token", "not the PIN of the token"

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

// opener counts the openings of a keystore in dir, which takes goodPIN alone:
// a token locks itself after a few wrong ones, so each try counts.
type opener struct {
	dir   string
	tries int
}

func (o *opener) open(_ context.Context, name string, _ pkiv1.CryptoDeviceSpec, secret []byte) (device.Device, error) {
	o.tries++
	if string(secret) != goodPIN {
		return nil, fmt.Errorf("open %s: %w", name, &device.PINError{Device: name})
	}
	return software.Open(software.Config{Dir: filepath.Join(o.dir, "keystore"), Password: secret})
}

func newDevice(t *testing.T) (*controllertest.Tier, *pkiv1.CryptoDevice) {
	t.Helper()
	tier := controllertest.New(t)
	obj := &pkiv1.CryptoDevice{ObjectMeta: tier.Meta("token"), Spec: pkiv1.CryptoDeviceSpec{
		Software: &pkiv1.SoftwareDevice{PasswordSecretRef: pkiv1.SecretKeyReference{Name: "pin", Key: "pin"}}}}
	tier.Create(t, obj)
	return tier, obj
}

func TestRefusedPINIsTriedOnce(t *testing.T) {
	tier, obj := newDevice(t)
	secret := tier.Secret(t, "pin", "pin", badPIN)
	o := &opener{dir: t.TempDir()}
	registry := prometheus.NewRegistry()
	metrics := cryptodevice.NewMetrics(registry)
	r := &cryptodevice.Reconciler{Client: tier.Client, Devices: tier.Devices, Open: o.open, Metrics: metrics}

	for i := range 3 {
		if i == 2 { // another process knows of it too
			r = &cryptodevice.Reconciler{Client: tier.Client, Devices: tier.Devices, Open: o.open, Metrics: metrics}
		}
		if _, err := controllertest.Reconcile(t, tier.Client, r, obj); !errors.Is(err, reconcile.TerminalError(nil)) {
			t.Errorf("pass %d: got error %v, want a terminal one", i+1, err)
		}
		if got := controllertest.Reason(obj, pkiv1.ConditionReady); got != "False/PINRefused" {
			t.Errorf("pass %d: Ready: got %s, want False/PINRefused", i+1, got)
		}
		if o.tries != 1 {
			t.Fatalf("pass %d: the PIN was tried %d times, want once", i+1, o.tries)
		}
	}
	if m := controllertest.Message(obj, pkiv1.ConditionReady); strings.Contains(m, badPIN) {
		t.Errorf("message %q has the PIN", m)
	}

	if diff := cmp.Diff(map[string]float64{"terrace_crypto_device_reachable": 0, "terrace_crypto_device_pin_refused": 1}, values(t, registry)); diff != "" {
		t.Errorf("metrics with the wrong PIN (-want +got):\n%s", diff)
	}

	secret.Data["pin"] = []byte(goodPIN)
	tier.Update(t, secret)
	for i := range 2 {
		if _, err := controllertest.Reconcile(t, tier.Client, r, obj); err != nil {
			t.Fatal(err)
		}
		if got := controllertest.Reason(obj, pkiv1.ConditionReady); got != "True/Succeeded" {
			t.Errorf("pass %d with the right PIN: Ready: got %s, want True/Succeeded", i+1, got)
		}
		if o.tries != 2 {
			t.Errorf("pass %d with the right PIN: opened %d times in all, want 2", i+1, o.tries)
		}
	}
	if diff := cmp.Diff(map[string]float64{"terrace_crypto_device_reachable": 1, "terrace_crypto_device_pin_refused": 0}, values(t, registry)); diff != "" {
		t.Errorf("metrics with the right PIN (-want +got):\n%s", diff)
	}
	if obj.Status.RefusedPINResourceVersion != "" || obj.Status.SerialNumber == "" {
		t.Errorf("status of the open device: refused PIN %q, serial number %q", obj.Status.RefusedPINResourceVersion, obj.Status.SerialNumber)
	}
	if _, err := tier.Devices.Get(obj.Namespace + "/" + obj.Name); err != nil {
		t.Error(err)
	}
}

// values are those of gauges with one series each.
func values(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		all[f.GetName()] = f.Metric[0].Gauge.GetValue()
	}
	return all
}

func TestSecretMissing(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *controllertest.Tier){
		"no Secret":   func(*testing.T, *controllertest.Tier) {},
		"no such key": func(t *testing.T, tier *controllertest.Tier) { tier.Secret(t, "pin", "other", goodPIN) },
		"empty":       func(t *testing.T, tier *controllertest.Tier) { tier.Secret(t, "pin", "pin", "") },
	} {
		t.Run(name, func(t *testing.T) {
			tier, obj := newDevice(t)
			prepare(t, tier)
			o := &opener{dir: t.TempDir()}
			r := &cryptodevice.Reconciler{Client: tier.Client, Devices: tier.Devices, Open: o.open}
			result, err := controllertest.Reconcile(t, tier.Client, r, obj)
			if err != nil || result.RequeueAfter <= 0 {
				t.Errorf("got %v, error %v, want to be looked at again without one", result, err)
			}
			if got := controllertest.Reason(obj, pkiv1.ConditionReachable); got != "False/ReferenceNotFound" {
				t.Errorf("Reachable: got %s, want False/ReferenceNotFound", got)
			}
			if o.tries != 0 {
				t.Errorf("opened %d times without a PIN", o.tries)
			}
		})
	}
}

func TestOpenFails(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
		next string // stop, retry with backoff, or look again later
	}{
		"module":      {fmt.Errorf("open: %w", cryptodevice.ErrModuleNotAllowed), "ModuleNotAllowed", "stop"},
		"profile":     {fmt.Errorf("open: %w", cryptodevice.ErrProfileUnknown), "ProfileUnknown", "stop"},
		"last try":    {&device.PINError{Device: "token", LastTry: true}, "PINLastTry", "look again"},
		"locked":      {&device.PINError{Device: "token", Locked: true}, "PINRefused", "stop"},
		"unavailable": {fmt.Errorf("open: %w", device.ErrUnavailable), "DeviceUnavailable", "retry"},
	} {
		t.Run(name, func(t *testing.T) {
			tier, obj := newDevice(t)
			tier.Secret(t, "pin", "pin", goodPIN)
			r := &cryptodevice.Reconciler{Client: tier.Client, Devices: tier.Devices,
				Open: func(context.Context, string, pkiv1.CryptoDeviceSpec, []byte) (device.Device, error) {
					return nil, c.err
				}}
			result, err := controllertest.Reconcile(t, tier.Client, r, obj)
			next := "retry"
			switch {
			case errors.Is(err, reconcile.TerminalError(nil)):
				next = "stop"
			case err == nil && result.RequeueAfter > 0:
				next = "look again"
			}
			if next != c.next {
				t.Errorf("got %v, error %v: %s, want %s", result, err, next, c.next)
			}
			if got := controllertest.Reason(obj, pkiv1.ConditionReachable); got != "False/"+c.want {
				t.Errorf("Reachable: got %s, want False/%s", got, c.want)
			}
			if got := controllertest.Reason(obj, pkiv1.ConditionSelfTestPassed); got != "Unknown/Progressing" {
				t.Errorf("SelfTestPassed: got %s, want Unknown/Progressing", got)
			}
		})
	}
}

// A mistyped PIN must not take a working device away.
func TestWorkingDeviceStaysWhenTheNextIsRefused(t *testing.T) {
	tier, obj := newDevice(t)
	secret := tier.Secret(t, "pin", "pin", goodPIN)
	o := &opener{dir: t.TempDir()}
	r := &cryptodevice.Reconciler{Client: tier.Client, Devices: tier.Devices, Open: o.open}
	if _, err := controllertest.Reconcile(t, tier.Client, r, obj); err != nil {
		t.Fatal(err)
	}
	name := obj.Namespace + "/" + obj.Name
	before, err := tier.Devices.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	secret.Data["pin"] = []byte(badPIN)
	tier.Update(t, secret)
	if _, err := controllertest.Reconcile(t, tier.Client, r, obj); err == nil {
		t.Error("a mistyped PIN gave no error")
	}
	if after, err := tier.Devices.Get(name); err != nil || after != before {
		t.Errorf("the working device is gone: %v", err)
	}
	if err := before.SelfTest(context.Background()); err != nil {
		t.Errorf("the working device is closed: %v", err)
	}
}
