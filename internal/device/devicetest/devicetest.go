// Package devicetest is the conformance suite of [device.Device].
package devicetest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/google/go-cmp/cmp"

	"github.com/terrace-pki/terrace/internal/device"
)

// Prepared is a Device whose keys are made outside it, with its maker's tool. The
// Device must expect keys under Labels.
type Prepared interface {
	device.Device
	// MakeKey plays the maker's tool, which knows no labels: it makes the key that
	// the Device expects under this one.
	MakeKey(label string) error
}

// Labels are those of the keys that the suite makes.
func Labels() []string {
	all := []string{"find-me", "find-me-2", "signatures", "options", "certificate", "concurrent", "reopen", "two-open", "two-open-2", "closed"}
	for g := range concurrency {
		all = append(all, fmt.Sprintf("concurrent-%d", g))
	}
	for _, tc := range labelCases() {
		if tc.wantOK {
			all = append(all, tc.label)
		}
	}
	return all
}

// concurrency is how many goroutines use a device at once.
const concurrency = 8

// Device runs the suite. open returns a Device on one and the same token or
// keystore each time it is called within one t, which holds no keys at first.
// The suite closes what it opens. A Prepared device is never to make a key itself.
func Device(t *testing.T, open func(t *testing.T) device.Device) {
	t.Helper()
	tests := []struct {
		name string
		run  func(t *testing.T, open func(t *testing.T) device.Device)
	}{
		{"generate and find", generateAndFind},
		{"labels", labels},
		{"signatures", signatures},
		{"options", options},
		{"certificate", certificate},
		{"concurrent", concurrent},
		{"one winner", oneWinner},
		{"reopen", reopen},
		{"two open", twoOpen},
		{"info and self-test", infoAndSelfTest},
		{"cancelled", cancelled},
		{"closed", closed},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, open) })
	}
}

func start(t *testing.T, open func(t *testing.T) device.Device) device.Device {
	t.Helper()
	d := open(t)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close device: %v", err)
		}
	})
	return d
}

func generate(t *testing.T, d device.Device, label string) crypto.MessageSigner {
	t.Helper()
	key, err := makeKey(t, d, label)
	if err != nil {
		t.Fatalf("make key %q: %v", label, err)
	}
	return key
}

// makeKey has the device make a key, or the maker's tool where it cannot.
func makeKey(t *testing.T, d device.Device, label string) (crypto.MessageSigner, error) {
	key, err := d.GenerateKey(t.Context(), label)
	p, prepared := d.(Prepared)
	if !prepared {
		return key, err
	}
	if !errors.Is(err, device.ErrMadeOutside) {
		return nil, fmt.Errorf("GenerateKey of a key that is made outside: %v, want ErrMadeOutside", err)
	}
	if err := p.MakeKey(label); err != nil {
		return nil, err
	}
	return d.Key(t.Context(), label)
}

func public(t *testing.T, key crypto.Signer) *ecdsa.PublicKey {
	t.Helper()
	pub, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || pub.Curve != sm2.P256() {
		t.Fatalf("Public() = %T, want *ecdsa.PublicKey on sm2.P256()", key.Public())
	}
	return pub
}

// mustSign signs and verifies against a known good implementation.
func mustSign(t *testing.T, key crypto.MessageSigner, pub *ecdsa.PublicKey, message []byte) {
	t.Helper()
	sig, err := key.SignMessage(rand.Reader, message, nil)
	if err != nil {
		t.Fatalf("SignMessage: %v", err)
	}
	if !sm2.VerifyASN1WithSM2(pub, nil, message, sig) {
		t.Fatalf("SignMessage: signature %x does not verify under the default ID", sig)
	}
}

func generateAndFind(t *testing.T, open func(t *testing.T) device.Device) {
	d := start(t, open)
	const label = "find-me"
	if _, err := d.Key(t.Context(), label); !errors.Is(err, device.ErrKeyNotFound) {
		t.Fatalf("Key before GenerateKey: %v, want ErrKeyNotFound", err)
	}
	made := generate(t, d, label)
	found, err := d.Key(t.Context(), label)
	if err != nil {
		t.Fatalf("Key: %v", err)
	}
	if !public(t, made).Equal(public(t, found)) {
		t.Fatal("Key returned another key than GenerateKey")
	}
	if _, err := d.GenerateKey(t.Context(), label); !errors.Is(err, device.ErrKeyExists) {
		t.Fatalf("GenerateKey again: %v, want ErrKeyExists", err)
	}
	again, err := d.Key(t.Context(), label)
	if err != nil || !public(t, again).Equal(public(t, made)) {
		t.Fatalf("the key changed after a refused GenerateKey (err %v)", err)
	}
	if other := generate(t, d, label+"-2"); public(t, other).Equal(public(t, made)) {
		t.Fatal("two labels hold one key")
	}
}

// labelCase is a label that is to be taken or refused.
type labelCase struct {
	label  string
	wantOK bool
}

func labelCases() map[string]labelCase {
	return map[string]labelCase{
		"empty":              {"", false},
		"too long":           {strings.Repeat("x", device.MaxLabel+1), false},
		"not UTF-8":          {"a\xff", false},
		"NUL":                {"a\x00b", false},
		"newline":            {"a\nb", false},
		"reserved":           {device.SelfTestLabel, false},
		"longest":            {strings.Repeat("x", device.MaxLabel), true},
		"longest but last":   {strings.Repeat("x", device.MaxLabel-1) + "y", true},
		"longest in Chinese": {strings.Repeat("梯", device.MaxLabel/3), true},
		"path":               {"../../etc/passwd", true},
		"dot":                {".", true},
		"name and key":       {"tier-1/business-ca#3", true},
		"case":               {"CASE", true},
		"other case":         {"case", true},
		"space":              {" a b ", true},
		"escape":             {"%2E", true},
	}
}

func labels(t *testing.T, open func(t *testing.T) device.Device) {
	d := start(t, open)
	for name, tc := range labelCases() {
		t.Run(name, func(t *testing.T) {
			if !tc.wantOK {
				_, err := d.GenerateKey(t.Context(), tc.label)
				_, keyErr := d.Key(t.Context(), tc.label)
				if err == nil || keyErr == nil || errors.Is(err, device.ErrMadeOutside) {
					t.Fatalf("GenerateKey: %v, Key: %v; want the label refused", err, keyErr)
				}
				return
			}
			key := generate(t, d, tc.label)
			found, err := d.Key(t.Context(), tc.label)
			if err != nil || !public(t, key).Equal(public(t, found)) {
				t.Fatalf("Key does not find what was made (err %v)", err)
			}
		})
	}
}

func concurrent(t *testing.T, open func(t *testing.T) device.Device) {
	d := start(t, open)
	const rounds = 12
	shared := generate(t, d, "concurrent")
	var wg sync.WaitGroup
	for g := range concurrency {
		wg.Go(func() {
			own, err := makeKey(t, d, fmt.Sprintf("concurrent-%d", g))
			if err != nil {
				t.Errorf("make key: %v", err)
				return
			}
			for i := range rounds {
				for _, key := range []crypto.MessageSigner{shared, own} {
					message := fmt.Appendf(nil, "%d %d", g, i)
					sig, err := key.SignMessage(rand.Reader, message, nil)
					if err != nil {
						t.Errorf("SignMessage: %v", err)
						return
					}
					if !sm2.VerifyASN1WithSM2(key.Public().(*ecdsa.PublicKey), nil, message, sig) {
						t.Error("signature does not verify: another goroutine's?")
					}
				}
				if _, err := d.Key(t.Context(), "concurrent"); err != nil {
					t.Errorf("Key: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func oneWinner(t *testing.T, open func(t *testing.T) device.Device) {
	d := start(t, open)
	if _, prepared := d.(Prepared); prepared {
		t.Skip("the device makes no keys")
	}
	errs := make([]error, concurrency)
	var wg sync.WaitGroup
	for g := range concurrency {
		wg.Go(func() { _, errs[g] = d.GenerateKey(t.Context(), "one-winner") })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, device.ErrKeyExists):
			t.Errorf("GenerateKey: %v, want ErrKeyExists", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d GenerateKey calls for one label succeeded, want 1", won, concurrency)
	}
	if _, err := d.Key(t.Context(), "one-winner"); err != nil {
		t.Errorf("Key: %v", err)
	}
}

func reopen(t *testing.T, open func(t *testing.T) device.Device) {
	first := open(t)
	info, err := first.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pub := public(t, generate(t, first, "reopen"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := start(t, open)
	key, err := second.Key(t.Context(), "reopen")
	if err != nil {
		t.Fatalf("Key after reopening: %v", err)
	}
	if !pub.Equal(key.Public()) {
		t.Fatal("another key after reopening")
	}
	mustSign(t, key, pub, []byte("after reopening"))
	infoAgain, err := second.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(info, infoAgain); diff != "" {
		t.Errorf("Info changed by reopening (-before +after):\n%s", diff)
	}
}

// twoOpen: two Devices of one process on one token; closing one leaves the other at work.
func twoOpen(t *testing.T, open func(t *testing.T) device.Device) {
	first, second := open(t), start(t, open)
	made := generate(t, first, "two-open")
	key, err := second.Key(t.Context(), "two-open")
	if err != nil {
		t.Fatalf("Key in the second device: %v", err)
	}
	if _, err := second.GenerateKey(t.Context(), "two-open"); !errors.Is(err, device.ErrKeyExists) {
		t.Fatalf("GenerateKey in the second device: %v, want ErrKeyExists", err)
	}
	pub := public(t, made)
	mustSign(t, made, pub, []byte("first"))
	mustSign(t, key, pub, []byte("second"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	mustSign(t, key, pub, []byte("second, alone"))
	generate(t, second, "two-open-2")
}

func infoAndSelfTest(t *testing.T, open func(t *testing.T) device.Device) {
	d := start(t, open)
	info, err := d.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Label": info.Label, "SerialNumber": info.SerialNumber, "Model": info.Model} {
		if value == "" || len(value) > 64 || strings.TrimSpace(value) != value {
			t.Errorf("Info.%s = %q, want 1 to 64 bytes, trimmed", name, value)
		}
	}
	for range 2 { // the first one may make its key
		if err := d.SelfTest(t.Context()); err != nil {
			t.Fatalf("SelfTest: %v", err)
		}
	}
}

func cancelled(t *testing.T, open func(t *testing.T) device.Device) {
	d := start(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, infoErr := d.Info(ctx)
	_, keyErr := d.Key(ctx, "cancelled")
	_, generateErr := d.GenerateKey(ctx, "cancelled")
	for name, err := range map[string]error{
		"Info": infoErr, "Key": keyErr, "GenerateKey": generateErr, "SelfTest": d.SelfTest(ctx),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", name, err)
		}
	}
	if _, err := d.Key(t.Context(), "cancelled"); !errors.Is(err, device.ErrKeyNotFound) {
		t.Errorf("Key after a cancelled GenerateKey: %v, want ErrKeyNotFound", err)
	}
}

func closed(t *testing.T, open func(t *testing.T) device.Device) {
	d := open(t)
	key := generate(t, d, "closed")
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	_, infoErr := d.Info(t.Context())
	_, keyErr := d.Key(t.Context(), "closed")
	_, generateErr := d.GenerateKey(t.Context(), "closed-2")
	_, signErr := key.SignMessage(rand.Reader, []byte("m"), nil)
	for name, err := range map[string]error{
		"Info": infoErr, "Key": keyErr, "GenerateKey": generateErr, "SignMessage": signErr,
		"SelfTest": d.SelfTest(t.Context()),
	} {
		if !errors.Is(err, device.ErrUnavailable) {
			t.Errorf("%s after Close: %v, want ErrUnavailable", name, err)
		}
	}
}
