//go:build cgo

package sdf

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/hack/softsdf/softsdftest"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/devicetest"
)

var current = Form{512, LeadingPadding, SM2SignGBT33560}

// config has the key "ca" at index 2 and its self-test key at index 1.
func config(soft softsdftest.Device) Config {
	return Config{LibraryPath: soft.LibraryPath, Password: []byte(soft.Password), Keys: map[string]uint32{"ca": 2}, SelfTestIndex: 1, Form: current}
}

func open(t testing.TB, soft softsdftest.Device, change func(*Config)) *Device {
	t.Helper()
	cfg := config(soft)
	if change != nil {
		change(&cfg)
	}
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close device: %v", err)
		}
	})
	return d.(*Device)
}

// newSoft is a device with keys at both indexes of config.
func newSoft(t testing.TB, o softsdftest.Options) softsdftest.Device {
	t.Helper()
	soft := softsdftest.New(t, o)
	soft.MakeKey(t, 1)
	soft.MakeKey(t, 2)
	return soft
}

func mustKey(t testing.TB, d *Device, label string) crypto.MessageSigner {
	t.Helper()
	key, err := d.Key(t.Context(), label)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustSign(t testing.TB, key crypto.MessageSigner) {
	t.Helper()
	if _, err := key.SignMessage(rand.Reader, []byte("message"), nil); err != nil {
		t.Fatalf("sign: %v", err)
	}
}

// prepared is a device and its maker's tool.
type prepared struct {
	device.Device
	makeKey func(label string) error
}

func (p prepared) MakeKey(label string) error { return p.makeKey(label) }

func TestConformance(t *testing.T) {
	for name, tc := range map[string]struct {
		options     softsdftest.Options
		form        Form
		maxSessions int
	}{
		"GB/T 36322":                   {softsdftest.Options{}, current, 0},
		"512 bits, zeros behind":       {softsdftest.Options{Padding: "trailing"}, Form{512, TrailingPadding, SM2SignGBT33560}, 0},
		"early headers":                {softsdftest.Options{MaxBits: "256", SignAlgorithm: "0x20100"}, Form{256, LeadingPadding, SM2SignEarly}, 0},
		"one device, one session only": {softsdftest.Options{Devices: "1"}, current, 1},
	} {
		t.Run(name, func(t *testing.T) {
			soft := softsdftest.New(t, tc.options)
			soft.MakeKey(t, 1)
			keys := map[string]uint32{}
			for i, label := range devicetest.Labels() {
				keys[label] = uint32(i + 2)
			}
			makeKey := func(label string) error {
				soft.MakeKey(t, keys[label])
				return nil
			}
			devicetest.Device(t, func(t *testing.T) device.Device {
				d, err := Open(Config{LibraryPath: soft.LibraryPath, Password: []byte(soft.Password), Keys: keys,
					SelfTestIndex: 1, Form: tc.form, MaxSessions: tc.maxSessions})
				if err != nil {
					t.Fatal(err)
				}
				return prepared{d, makeKey}
			})
		})
	}
}

// TestKeysAreMadeOutside: what is missing is said so that it can be made.
func TestKeysAreMadeOutside(t *testing.T) {
	soft := softsdftest.New(t, softsdftest.Options{})
	soft.MakeKey(t, 1)
	d := open(t, soft, nil)
	for label, want := range map[string]string{"ca": "at index 2", "unbound": "give its index"} {
		if _, err := d.Key(t.Context(), label); !errors.Is(err, device.ErrKeyNotFound) {
			t.Errorf("Key(%q): %v, want ErrKeyNotFound", label, err)
		}
		_, err := d.GenerateKey(t.Context(), label)
		if !errors.Is(err, device.ErrMadeOutside) || !strings.Contains(err.Error(), want) {
			t.Errorf("GenerateKey(%q): %v, want ErrMadeOutside with %q", label, err, want)
		}
	}
	if _, err := d.Info(t.Context()); err != nil {
		t.Errorf("Info while a key is not made yet: %v", err)
	}
	soft.MakeKey(t, 2)
	mustSign(t, mustKey(t, d, "ca"))

	noSelfTest := open(t, soft, func(c *Config) { c.SelfTestIndex = 9 })
	if _, err := noSelfTest.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "key index 9") {
		t.Errorf("Info without a self-test key: %v, want an error that names index 9", err)
	}
}

// TestWrongForm: a form that is not the library's is found at the first key, with
// the one that is, and nothing is written beyond a buffer.
func TestWrongForm(t *testing.T) {
	forms := map[string]struct {
		options softsdftest.Options
		form    Form
	}{
		"512 leading":  {softsdftest.Options{}, current},
		"512 trailing": {softsdftest.Options{Padding: "trailing"}, Form{512, TrailingPadding, SM2SignGBT33560}},
		"256":          {softsdftest.Options{MaxBits: "256"}, Form{256, LeadingPadding, SM2SignGBT33560}},
	}
	for is, right := range forms {
		for said, wrong := range forms {
			if is == said {
				continue
			}
			t.Run(said+" for "+is, func(t *testing.T) {
				d := open(t, newSoft(t, right.options), func(c *Config) { c.Form = wrong.form })
				_, err := d.Key(t.Context(), "ca")
				if err == nil || errors.Is(err, device.ErrUnavailable) || !strings.Contains(err.Error(), "but with "+right.form.String()) {
					t.Errorf("Key: %v, want an error that names %v and is not ErrUnavailable", err, right.form)
				}
			})
		}
	}
	d := open(t, newSoft(t, softsdftest.Options{SignAlgorithm: "0x20100"}), nil)
	mustSign(t, mustKey(t, d, "ca")) // signing needs no number
	if err := d.SelfTest(t.Context()); err == nil || !strings.Contains(err.Error(), "0x20200") || !strings.Contains(err.Error(), "SDR_ALGNOTSUPPORT") {
		t.Errorf("SelfTest with another algorithm number: %v, want an error that names it", err)
	}
}

func TestWrongPasswordIsTriedOnce(t *testing.T) {
	soft := newSoft(t, softsdftest.Options{})
	d := open(t, soft, func(c *Config) { c.Password = []byte("not-the-password") })
	key := mustKey(t, d, "ca") // a public key needs none
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, infoErr := d.Info(t.Context())
			_, signErr := key.SignMessage(rand.Reader, []byte("message"), nil)
			for name, err := range map[string]error{"Info": infoErr, "SignMessage": signErr, "SelfTest": d.SelfTest(t.Context())} {
				var pin *device.PINError
				if !errors.As(err, &pin) || errors.Is(err, device.ErrUnavailable) || strings.Contains(err.Error(), "not-the-password") {
					t.Errorf("%s: %v, want a *device.PINError without the password", name, err)
				}
			}
		})
	}
	wg.Wait()
	for index := uint32(1); index <= 2; index++ {
		if n := soft.Failures(t, index); n != 1 {
			t.Errorf("index %d saw %d tries of a wrong password, want 1", index, n)
		}
	}
	mustSign(t, mustKey(t, open(t, soft, nil), "ca"))
}

// TestPasswordOfAnotherIndex: Info proves the password at each index, before a CA needs it.
func TestPasswordOfAnotherIndex(t *testing.T) {
	soft := softsdftest.New(t, softsdftest.Options{PasswordTries: "1"})
	soft.MakeKey(t, 1)
	soft.MakeKeyUnder(t, 2, "Password-of-its-own")
	d := open(t, soft, nil)
	var pin *device.PINError
	if _, err := d.Info(t.Context()); !errors.As(err, &pin) || !strings.Contains(err.Error(), "key index 2") {
		t.Errorf("Info: %v, want a *device.PINError that names index 2", err)
	}
	if err := d.SelfTest(t.Context()); err != nil {
		t.Errorf("SelfTest: %v", err)
	}
	// Locked now: not even the right password is taken, and that is a refusal too.
	right := open(t, soft, func(c *Config) { c.Password = []byte("Password-of-its-own") })
	if _, err := mustKey(t, right, "ca").SignMessage(nil, []byte("m"), nil); !errors.As(err, &pin) || !strings.Contains(err.Error(), "SDR_PARDENY") {
		t.Errorf("sign at a locked index: %v, want a *device.PINError that names SDR_PARDENY", err)
	}
}

// TestAnotherKeyAtTheIndex: a key that was replaced in the device signs nothing.
func TestAnotherKeyAtTheIndex(t *testing.T) {
	soft := newSoft(t, softsdftest.Options{})
	d := open(t, soft, func(c *Config) { c.MaxSessions = 1 })
	key := mustKey(t, d, "ca")
	mustSign(t, key)
	soft.MakeKey(t, 2)
	soft.SetFault(t, "device-lost")
	sig, err := key.SignMessage(rand.Reader, []byte("message"), nil)
	if !errors.Is(err, device.ErrBadSignature) || sig != nil {
		t.Errorf("SignMessage = %x, %v; want ErrBadSignature and nothing else", sig, err)
	}
}

func TestUnreachable(t *testing.T) {
	soft := newSoft(t, softsdftest.Options{})
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ path, want string }{
		"no library":         {"/no/such/libsdf.so", "no such file"},
		"folder":             {t.TempDir(), "not a regular file"},
		"not a library":      {text, "load SDF library"},
		"without a function": {withoutSign(t), "no function SDF_InternalSign_ECC"},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, soft, func(c *Config) { c.LibraryPath = tc.path })
			_, err := d.Info(t.Context())
			if !errors.Is(err, device.ErrUnavailable) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Info: %v, want ErrUnavailable with %q", err, tc.want)
			}
		})
	}
}

// withoutSign builds a library that has every function but one.
func withoutSign(t *testing.T) string {
	t.Helper()
	var source strings.Builder
	for _, name := range []string{"OpenDevice", "CloseDevice", "OpenSession", "CloseSession", "GetDeviceInfo", "GetPrivateKeyAccessRight",
		"ReleasePrivateKeyAccessRight", "ExportSignPublicKey_ECC", "ExternalVerify_ECC"} {
		source.WriteString("int SDF_" + name + "(void) { return 1; }\n")
	}
	path := filepath.Join(t.TempDir(), "libpart.so")
	cmd := exec.Command("gcc", "-shared", "-fPIC", "-o", path, "-x", "c", "-")
	cmd.Stdin = strings.NewReader(source.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return path
}

func TestSessionsAreBounded(t *testing.T) {
	d := open(t, newSoft(t, softsdftest.Options{}), func(c *Config) { c.MaxSessions = 2 })
	key := mustKey(t, d, "ca")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := key.SignMessage(rand.Reader, []byte("message"), nil); err != nil {
					t.Errorf("SignMessage: %v", err)
				}
				d.library.mu.Lock()
				if n := d.library.current.sessions; n < 1 || n > 2 {
					t.Errorf("%d sessions are open, want 1 or 2", n)
				}
				d.library.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestWaitForSession(t *testing.T) {
	d := open(t, newSoft(t, softsdftest.Options{}), func(c *Config) { c.MaxSessions, c.Wait = 1, 50*time.Millisecond })
	key := mustKey(t, d, "ca")
	d.permits <- struct{}{} // a call that does not come back
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.Key(ctx, "ca"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Key: %v, want context.DeadlineExceeded", err)
	}
	if _, err := key.SignMessage(rand.Reader, []byte("m"), nil); !errors.Is(err, device.ErrUnavailable) {
		t.Errorf("SignMessage: %v, want ErrUnavailable", err)
	}
	<-d.permits
	mustSign(t, key)
}

// BenchmarkSign reports what the library costs over SM2 in this process.
func BenchmarkSign(b *testing.B) {
	key := mustKey(b, open(b, newSoft(b, softsdftest.Options{}), nil), "ca")
	mustSign(b, key)
	software, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 1024)
	sign := func(key crypto.Signer) time.Duration {
		start := time.Now()
		if _, err := key.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	var library, plain time.Duration
	b.ReportAllocs()
	for b.Loop() {
		library += sign(key)
		b.StopTimer()
		plain += sign(software) // in the same run, so that the machine's load cancels out
		b.StartTimer()
	}
	b.ReportMetric(float64(library)/float64(plain), "x-gmsm-sign")
}
