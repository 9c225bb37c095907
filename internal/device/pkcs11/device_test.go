//go:build cgo

package pkcs11

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/miekg/pkcs11"

	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/devicetest"
)

// openToken opens the token with changes to the config and closes it with the test.
func openToken(t testing.TB, token testToken, change func(*Config)) *Device {
	t.Helper()
	cfg := Config{ModulePath: token.ModulePath, TokenLabel: token.Label, PIN: []byte(token.PIN), Profile: Profiles()["Sansec"]}
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

func mustKey(t testing.TB, d *Device, label string) crypto.MessageSigner {
	t.Helper()
	key, err := d.GenerateKey(t.Context(), label)
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

// raw gives the test the module behind d's back, as another user of the process has it.
func raw(t testing.TB, d *Device) (*pkcs11.Ctx, uint) {
	t.Helper()
	c, err := d.connect()
	if err != nil {
		t.Fatal(err)
	}
	return c.module.ctx, c.slot
}

func rawSession(t testing.TB, m *pkcs11.Ctx, slot uint) pkcs11.SessionHandle {
	t.Helper()
	h, err := m.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func tokenFlags(t testing.TB, m *pkcs11.Ctx, slot uint) uint {
	t.Helper()
	info, err := m.GetTokenInfo(slot)
	if err != nil {
		t.Fatal(err)
	}
	return info.Flags
}

// TestConformance runs the suite on every maker's token, by digest and, where the
// token takes nothing else, by message, and on tokens with a temper of their own.
func TestConformance(t *testing.T) {
	type run struct {
		options     tokenOptions
		profile     Profile
		maxSessions int
	}
	profile := func(name string, change func(*Profile)) Profile {
		p := Profiles()[name]
		if p.Name == "" {
			t.Fatalf("no profile %q", name)
		}
		if change != nil {
			change(&p)
		}
		return p
	}
	runs := map[string]run{
		"digest, raw signature, bare point": {
			tokenOptions{profile: "sansec", pointForm: "bare"},
			profile("Sansec", func(p *Profile) { p.Sign, p.Signature, p.Point = 0x80008105, RawSignature, BarePoint }), 0,
		},
		"message, raw signature": {
			tokenOptions{profile: "sansec"},
			profile("Sansec-Message", func(p *Profile) { p.Sign, p.Signature = 0x80008102, RawSignature }), 0,
		},
		"message, DER signature, octet string point, one session": {
			tokenOptions{profile: "sansec"},
			profile("Sansec-Message", func(p *Profile) { p.Signature, p.Point = DERSignature, OctetStringPoint }), 1,
		},
		"each session logs in, few sessions, attributes refused": {
			tokenOptions{profile: "luna", login: "session", maxSessions: "6",
				refused: "class, private, sensitive, extractable, decrypt, unwrap, derive"},
			profile("Luna", nil), 4,
		},
	}
	for _, maker := range []string{"Sansec", "TASS", "IBM", "Luna"} {
		played := strings.ToLower(maker)
		runs[maker] = run{tokenOptions{profile: played}, profile(maker, nil), 0}
		runs[maker+", message only"] = run{tokenOptions{profile: played, signInput: "message"}, profile(maker+messageSuffix, nil), 0}
	}
	for name, tc := range runs {
		t.Run(name, func(t *testing.T) {
			token := newToken(t, tc.options)
			devicetest.Device(t, func(t *testing.T) device.Device {
				d, err := Open(Config{
					ModulePath: token.ModulePath, TokenLabel: token.Label, PIN: []byte(token.PIN),
					Profile: tc.profile, MaxSessions: tc.maxSessions,
				})
				if err != nil {
					t.Fatal(err)
				}
				return d
			})
		})
	}
}

// TestMakersDiffer: what fits one maker's token is refused by another's, so that
// the runs above prove something of the profiles.
func TestMakersDiffer(t *testing.T) {
	for name, tc := range map[string]struct {
		options tokenOptions
		profile string
	}{
		"digest on a token that hashes itself": {tokenOptions{profile: "tass", signInput: "message"}, "TASS"},
		"TASS on Luna":                         {tokenOptions{profile: "luna"}, "TASS"},
		"Luna on IBM":                          {tokenOptions{profile: "ibm"}, "Luna"},
		"Sansec on TASS":                       {tokenOptions{profile: "tass"}, "Sansec"},
	} {
		t.Run(name, func(t *testing.T) {
			d := openToken(t, newToken(t, tc.options), func(c *Config) { c.Profile = Profiles()[tc.profile] })
			err := d.SelfTest(t.Context())
			if err == nil || errors.Is(err, device.ErrUnavailable) || !strings.Contains(err.Error(), "CKR_MECHANISM_INVALID") {
				t.Errorf("SelfTest: %v, want CKR_MECHANISM_INVALID, which is no outage", err)
			}
		})
	}
}

// TestFewerSessions: a token with fewer sessions than MaxSessions serves everybody
// with those that it has.
func TestFewerSessions(t *testing.T) {
	d := openToken(t, newToken(t, tokenOptions{maxSessions: "2", signDelay: "2000"}), nil)
	key := mustKey(t, d, "ca")
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			<-start
			for range 5 {
				mustSign(t, key)
			}
		})
	}
	close(start)
	wg.Wait()
	m, slot := raw(t, d)
	if err := m.CloseAllSessions(slot); err != nil { // the permits come back with the next connection
		t.Fatal(err)
	}
	mustSign(t, key)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.withheld != 0 || len(d.permits) != 0 {
		t.Errorf("%d of %d permits are withheld at rest on a fresh connection", d.withheld, len(d.permits))
	}
}

// TestWrongMechanism: a profile that does not fit is no outage, which would be
// retried for ever.
func TestWrongMechanism(t *testing.T) {
	token := newToken(t, tokenOptions{})
	d := openToken(t, token, func(c *Config) { c.Profile.KeyPairGen = 0x80000b20 })
	_, err := d.GenerateKey(t.Context(), "ca")
	if err == nil || errors.Is(err, device.ErrUnavailable) || !strings.Contains(err.Error(), "0x80000b20") {
		t.Errorf("GenerateKey: %v, want an error that names the mechanism and is not ErrUnavailable", err)
	}
	good := openToken(t, token, nil)
	mustKey(t, good, "ca")
	other := openToken(t, token, func(c *Config) { c.Profile.KeyType = 0x80050002 })
	_, err = other.Key(t.Context(), "ca")
	if err == nil || errors.Is(err, device.ErrKeyNotFound) || !strings.Contains(err.Error(), "0x80000004") {
		t.Errorf("Key of another type: %v, want an error that names the type", err)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	const bound = 2
	d := openToken(t, newToken(t, tokenOptions{}), func(c *Config) { c.MaxSessions = bound })
	key := mustKey(t, d, "ca")
	m, slot := raw(t, d)
	var most atomic.Uint64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				mustSign(t, key)
				info, err := m.GetTokenInfo(slot)
				if err != nil {
					t.Error(err)
					return
				}
				for n := uint64(info.SessionCount); n > most.Load(); {
					most.Store(n)
				}
			}
		})
	}
	wg.Wait()
	if got := most.Load(); got == 0 || got > bound {
		t.Errorf("%d sessions were open at once, want 1 to %d", got, bound)
	}
}

func TestWaitForSession(t *testing.T) {
	d := openToken(t, newToken(t, tokenOptions{}), func(c *Config) {
		c.MaxSessions, c.Wait = 1, 50*time.Millisecond
	})
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

func TestUnreachable(t *testing.T) {
	token := newToken(t, tokenOptions{})
	noLibrary := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(noLibrary, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	slot := func(n int64) *int64 { return &n }
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no module":         {func(c *Config) { c.ModulePath = "/no/such/module.so" }, "no such file"},
		"folder":            {func(c *Config) { c.ModulePath = t.TempDir() }, "not a regular file"},
		"not a library":     {func(c *Config) { c.ModulePath = noLibrary }, "not a loadable library"},
		"unknown label":     {func(c *Config) { c.TokenLabel = "another" }, "carries the label"},
		"unknown slot":      {func(c *Config) { c.TokenLabel, c.Slot = "", slot(999) }, "slot 999"},
		"slot and no label": {func(c *Config) { c.TokenLabel, c.Slot = "another", slot(0) }, "expected \"another\""},
	} {
		t.Run(name, func(t *testing.T) {
			d := openToken(t, token, tc.change)
			_, err := d.Info(t.Context())
			if !errors.Is(err, device.ErrUnavailable) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Info: %v, want ErrUnavailable with %q", err, tc.want)
			}
		})
	}
	d := openToken(t, token, func(c *Config) { c.TokenLabel, c.Slot = "", slot(0) })
	info, err := d.Info(t.Context())
	if err != nil || info.Label != token.Label {
		t.Errorf("Info by slot = %+v, %v; want label %q", info, err, token.Label)
	}
}

func TestClose(t *testing.T) {
	token := newToken(t, tokenOptions{})
	first, second := openToken(t, token, nil), openToken(t, token, nil)
	for _, d := range []*Device{first, second} {
		if _, err := d.Info(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m, _ := raw(t, first)
	pin := first.credential.pin
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for _, b := range pin {
		if b != 0 {
			t.Fatal("the PIN was not zeroed")
		}
	}
	if _, err := m.GetInfo(); err != nil {
		t.Errorf("module after the first of two devices was closed: %v", err)
	}
	if _, err := second.Info(t.Context()); err != nil {
		t.Errorf("the second device: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.GetInfo(); !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED)) {
		t.Errorf("module after both were closed: %v, want it finalised", err)
	}
}

// BenchmarkSign reports what the module costs over SM2 in this process.
func BenchmarkSign(b *testing.B) {
	d := openToken(b, newToken(b, tokenOptions{}), nil)
	key := mustKey(b, d, "bench")
	mustSign(b, key)
	message := make([]byte, 1024)
	software, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sign := func(key crypto.Signer) time.Duration {
		start := time.Now()
		if _, err := key.Sign(rand.Reader, message, sm2.DefaultSM2SignerOpts); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	var token, plain time.Duration
	b.ReportAllocs()
	for b.Loop() {
		token += sign(key)
		b.StopTimer()
		plain += sign(software) // in the same run, so that the machine's load cancels out
		b.StartTimer()
	}
	b.ReportMetric(float64(token)/float64(plain), "x-gmsm-sign")
}
