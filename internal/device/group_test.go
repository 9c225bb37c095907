package device_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/devicetest"
	"github.com/terrace-pki/terrace/internal/device/software"
)

func keystore(t *testing.T, dir string) device.Device {
	t.Helper()
	d, err := software.Open(software.Config{Dir: dir, Password: []byte("a password of the keystore")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func member(name string, d device.Device) device.Member {
	return device.Member{Name: name, Get: func() (device.Device, error) { return d, nil }}
}

// failing is a device whose calls fail while err is set.
type failing struct {
	device.Device
	err   error
	calls int
}

func (f *failing) Info(ctx context.Context) (device.Info, error) {
	f.calls++
	if f.err != nil {
		return device.Info{}, f.err
	}
	return f.Device.Info(ctx)
}

func (f *failing) SelfTest(ctx context.Context) error {
	f.calls++
	if f.err != nil {
		return f.err
	}
	return f.Device.SelfTest(ctx)
}

func (f *failing) GenerateKey(ctx context.Context, label string) (crypto.MessageSigner, error) {
	f.calls++
	if f.err != nil {
		return nil, f.err
	}
	return f.Device.GenerateKey(ctx, label)
}

func (f *failing) Key(ctx context.Context, label string) (crypto.MessageSigner, error) {
	f.calls++
	if f.err != nil {
		return nil, f.err
	}
	key, err := f.Device.Key(ctx, label)
	if err != nil {
		return nil, err
	}
	return device.NewSigner(label, key.Public().(*ecdsa.PublicKey), func(_, message []byte) ([]byte, error) {
		f.calls++
		if f.err != nil {
			return nil, f.err
		}
		return key.SignMessage(nil, message, nil)
	})
}

// pair returns two keystores with the same key "ca", the second one made by copying
// the first, and their group.
func pair(t *testing.T) (first, standby *failing, group *device.Group) {
	t.Helper()
	dir := t.TempDir()
	a := keystore(t, filepath.Join(dir, "a"))
	if _, err := a.GenerateKey(t.Context(), "ca"); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "b"), os.DirFS(filepath.Join(dir, "a"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	first, standby = &failing{Device: a}, &failing{Device: keystore(t, filepath.Join(dir, "b"))}
	second := member("b", standby)
	return first, standby, device.NewGroup(member("a", first), &second)
}

func key(t *testing.T, d device.Device, label string) crypto.MessageSigner {
	t.Helper()
	k, err := d.Key(t.Context(), label)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, k crypto.MessageSigner) error {
	t.Helper()
	message := []byte("message")
	sig, err := k.SignMessage(nil, message, nil)
	if err == nil && !sm2.VerifyASN1WithSM2(k.Public().(*ecdsa.PublicKey), nil, message, sig) {
		t.Error("the signature does not verify")
	}
	return err
}

func TestGroupConformance(t *testing.T) {
	dir := t.TempDir()
	standby := member("b", keystore(t, filepath.Join(dir, "b"))) // which stays empty
	devicetest.Device(t, func(t *testing.T) device.Device {
		return device.NewGroup(member("a", keystore(t, filepath.Join(dir, "a"))), &standby)
	})
}

func TestGroupFailsOver(t *testing.T) {
	for name, err := range map[string]error{
		"unavailable": device.ErrUnavailable,
		"locked":      &device.PINError{Device: "a", Locked: true},
		"odd error":   errors.New("CKR_MECHANISM_INVALID"),
		"zeroised":    device.ErrKeyNotFound,
	} {
		// In a bubble time stands still: the back-off does not end while the test looks.
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, standby, group := pair(t)
				k := key(t, group, "ca")
				if err := sign(t, k); err != nil {
					t.Fatal(err)
				}
				first.err = err
				if err := sign(t, k); err != nil {
					t.Errorf("sign while the first device fails: %v", err)
				}
				if n := first.calls; sign(t, k) != nil || first.calls != n {
					t.Errorf("a device that just failed was asked again, or the standby failed")
				}
				if _, err := group.CheckRedundant(t.Context()); err == nil {
					t.Error("CheckRedundant: success while the first device is left out")
				}
				if got := group.Members(); got[0].Err == nil || got[0].Signed != 1 || got[0].Failed != 1 || got[1].Err != nil || got[1].Signed != 2 {
					t.Errorf("members: %+v", got)
				}
				standby.err = err
				if err := sign(t, k); err == nil {
					t.Error("sign while both fail: success")
				}
			})
		})
	}
}

// TestGroupGoesBack: a device that failed is left out for a while that grows, and is
// taken up again once it works.
func TestGroupGoesBack(t *testing.T) {
	first, _, group := pair(t)
	k := key(t, group, "ca")
	synctest.Test(t, func(t *testing.T) {
		first.err = device.ErrUnavailable
		var tried []time.Duration
		start := time.Now()
		for time.Since(start) < 3*time.Minute {
			before := first.calls
			if err := sign(t, k); err != nil {
				t.Fatal(err)
			}
			if first.calls != before {
				tried = append(tried, time.Since(start).Round(time.Second))
			}
			time.Sleep(500 * time.Millisecond)
		}
		if n := len(tried); n < 6 || n > 9 || tried[n-1]-tried[n-2] != time.Minute {
			t.Errorf("tried again after %v, want ever more rarely, at last once a minute", tried)
		}
		first.err = nil
		time.Sleep(time.Minute)
		if err := sign(t, k); err != nil {
			t.Fatal(err)
		}
		if got := group.Members()[0]; got.Err != nil {
			t.Errorf("the first device works and is still left out: %v", got.Err)
		}
	})
}

// TestGroupNeverGuesses: what a device that is away may know is not decided without it.
func TestGroupNeverGuesses(t *testing.T) {
	for name, tc := range map[string]struct {
		first, standby error
		label          string
		wantKey        error // of Key
		wantGenerate   error // nil: made
	}{
		"nobody has it":                       {nil, nil, "new", device.ErrKeyNotFound, nil},
		"the first is away":                   {device.ErrUnavailable, nil, "new", device.ErrUnavailable, device.ErrUnavailable},
		"the standby is away":                 {nil, device.ErrUnavailable, "new", device.ErrUnavailable, device.ErrUnavailable},
		"both have it":                        {nil, nil, "ca", nil, device.ErrKeyExists},
		"the first lost it":                   {device.ErrKeyNotFound, nil, "ca", nil, device.ErrKeyExists},
		"the first lost it, standby away":     {device.ErrKeyNotFound, device.ErrUnavailable, "ca", device.ErrUnavailable, device.ErrUnavailable},
		"the first has two, standby has none": {errTwo, device.ErrKeyNotFound, "ca", errTwo, errTwo},
		"the first has none, standby has two": {device.ErrKeyNotFound, errTwo, "ca", errTwo, errTwo},
	} {
		t.Run(name, func(t *testing.T) {
			first, standby, group := pair(t)
			first.err, standby.err = tc.first, tc.standby
			_, err := group.Key(t.Context(), tc.label)
			if !errors.Is(err, tc.wantKey) || errors.Is(err, device.ErrKeyNotFound) != (tc.wantKey == device.ErrKeyNotFound) {
				t.Errorf("Key: %v, want %v", err, tc.wantKey)
			}
			_, err = group.GenerateKey(t.Context(), tc.label)
			if !errors.Is(err, tc.wantGenerate) || (err == nil) != (tc.wantGenerate == nil) {
				t.Errorf("GenerateKey: %v, want %v", err, tc.wantGenerate)
			}
		})
	}
}

var errTwo = errors.New("more than one private key lies under this label")

// TestGroupNeedsTheSameKey: a standby with another key under the label never signs.
func TestGroupNeedsTheSameKey(t *testing.T) {
	dir := t.TempDir()
	first := &failing{Device: keystore(t, filepath.Join(dir, "a"))}
	b := keystore(t, filepath.Join(dir, "b"))
	standby := member("b", b)
	group := device.NewGroup(member("a", first), &standby)
	k, err := group.GenerateKey(t.Context(), "ca")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := group.CheckRedundant(t.Context()); !errors.Is(err, device.ErrKeyNotFound) {
		t.Errorf("CheckRedundant before the standby has the key: %v, want ErrKeyNotFound", err)
	}
	if _, err := b.GenerateKey(t.Context(), "ca"); err != nil {
		t.Fatal(err)
	}
	if _, err := group.CheckRedundant(t.Context()); !errors.Is(err, device.ErrKeyDiffers) {
		t.Errorf("CheckRedundant with another key: %v, want ErrKeyDiffers", err)
	}
	first.err = device.ErrUnavailable
	if err := sign(t, k); !errors.Is(err, device.ErrUnavailable) {
		t.Errorf("sign by a standby with another key: %v, want ErrUnavailable", err)
	}
}

// TestGroupSelfTest: a device that signs badly is left out before it is asked for
// something that matters.
func TestGroupSelfTest(t *testing.T) {
	first, standby, group := pair(t)
	k := key(t, group, "ca")
	first.err = device.ErrBadSignature
	if err := group.SelfTest(t.Context()); err != nil {
		t.Errorf("SelfTest with a standby that works: %v", err)
	}
	n := first.calls
	if err := sign(t, k); err != nil || first.calls != n {
		t.Errorf("sign: %v, %d calls to the device that failed its self-test", err, first.calls-n)
	}
	standby.err = device.ErrBadSignature
	if err := group.SelfTest(t.Context()); !errors.Is(err, device.ErrBadSignature) {
		t.Errorf("SelfTest while both fail: %v, want ErrBadSignature", err)
	}
	first.err, standby.err = nil, nil
	if err := group.SelfTest(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := group.CheckRedundant(t.Context()); n != 1 || err != nil {
		t.Errorf("CheckRedundant = %d, %v; want the one key in both", n, err)
	}
}

// TestRegistryOwn: two devices may each be the other's standby without going in circles.
func TestRegistryOwn(t *testing.T) {
	r := device.NewRegistry()
	devices := map[string]device.Device{}
	for name, other := range map[string]string{"a": "b", "b": "a"} {
		d := keystore(t, filepath.Join(t.TempDir(), "keys"))
		devices[name] = d
		standby := device.Member{Name: other, Get: func() (device.Device, error) { return r.Own(other) }}
		if err := r.Put(name, device.NewGroup(member(name, d), &standby)); err != nil {
			t.Fatal(err)
		}
	}
	if own, err := r.Own("a"); err != nil || own != devices["a"] {
		t.Errorf("Own = %v, %v; want the device itself", own, err)
	}
	if _, err := r.Key(t.Context(), "a", "none"); !errors.Is(err, device.ErrKeyNotFound) {
		t.Errorf("Key: %v, want ErrKeyNotFound", err)
	}
	if got := r.Members(); len(got) != 2 || len(got["a"]) != 2 {
		t.Errorf("Members: %v", got)
	}
}
