package software_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/device/devicetest"
	"github.com/terrace-pki/terrace/internal/device/software"
)

const password = "correct horse"

func open(t *testing.T, dir string) device.Device {
	t.Helper()
	d, err := software.Open(software.Config{Dir: dir, Password: []byte(password)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	devicetest.Device(t, func(t *testing.T) device.Device { return open(t, dir) })
}

func TestOpenSSLReadsKeyFile(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is not installed: apt-get install openssl")
	}
	dir := filepath.Join(t.TempDir(), "keys")
	d := open(t, dir)
	defer d.Close()
	key, err := d.GenerateKey(t.Context(), "openssl")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "openssl.p8.pem")

	public := func(pass string) ([]byte, error) {
		cmd := exec.Command(openssl, "pkey", "-in", path, "-passin", "env:PASS", "-pubout")
		cmd.Env = append(os.Environ(), "PASS="+pass)
		return cmd.Output()
	}
	out, err := public(password)
	if err != nil {
		t.Fatalf("openssl pkey: %v", err)
	}
	block, _ := pem.Decode(out)
	if block == nil {
		t.Fatalf("openssl printed no PEM: %s", out)
	}
	want, err := smx509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(block.Bytes, want) {
		t.Errorf("openssl read public key %x, want %x", block.Bytes, want)
	}
	if out, err := public("wrong"); err == nil {
		t.Errorf("openssl opened the key with a wrong password: %s", out)
	}

	dump, err := exec.Command(openssl, "asn1parse", "-in", path).CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PBES2", "PBKDF2", "hmacWithSHA256", "sm4-cbc"} {
		if !strings.Contains(string(dump), name) {
			t.Errorf("key file is not encrypted by %s:\n%s", name, dump)
		}
	}
}

func TestWrongPassword(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	_, err := software.Open(software.Config{Dir: dir, Password: []byte("battery staple")})
	var pinErr *device.PINError
	if !errors.As(err, &pinErr) {
		t.Fatalf("Open: %v, want *device.PINError", err)
	}
	if strings.Contains(err.Error(), "battery") {
		t.Errorf("the error tells the password: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o750); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		cfg  software.Config
		want string
	}{
		"no password":   {software.Config{Dir: t.TempDir()}, "password has 0 bytes"},
		"long password": {software.Config{Dir: t.TempDir(), Password: make([]byte, software.MaxPassword+1)}, "1025 bytes"},
		"no folder":     {software.Config{Password: []byte("x")}, "no folder"},
		"shared folder": {software.Config{Dir: shared, Password: []byte("x")}, "chmod 700"},
		"a file":        {software.Config{Dir: file, Password: []byte("x")}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := software.Open(tc.cfg)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Open = %v, %v; want an error with %q", d, err, tc.want)
			}
		})
	}
}

func TestDamagedFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	for name, tc := range map[string]struct {
		damage  func(good []byte) []byte
		wantPIN bool
	}{
		"empty":      {func([]byte) []byte { return nil }, false},
		"no PEM":     {func([]byte) []byte { return []byte("hello") }, false},
		"oversized":  {func([]byte) []byte { return make([]byte, 1<<20) }, false},
		"wrong type": {func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("ENCRYPTED "), nil) }, false},
		"not DER": {func([]byte) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{0x30, 0x80, 1}})
		}, false},
		"last block changed": {func(b []byte) []byte {
			block, _ := pem.Decode(b)
			block.Bytes[len(block.Bytes)-1] ^= 1
			return pem.EncodeToMemory(block)
		}, true}, // PBES2 cannot tell it from a wrong password
	} {
		t.Run(name, func(t *testing.T) {
			label := strings.ReplaceAll(name, " ", "-")
			d := open(t, dir)
			if _, err := d.GenerateKey(t.Context(), label); err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, label+".p8.pem")
			good, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tc.damage(good), 0o600); err != nil {
				t.Fatal(err)
			}
			d = open(t, dir)
			defer d.Close()
			_, err = d.Key(t.Context(), label)
			var pinErr *device.PINError
			if err == nil || errors.Is(err, device.ErrKeyNotFound) || errors.As(err, &pinErr) != tc.wantPIN {
				t.Errorf("Key: %v, want an error, PINError %v", err, tc.wantPIN)
			}
			if _, err := d.GenerateKey(t.Context(), label); !errors.Is(err, device.ErrKeyExists) {
				t.Errorf("GenerateKey over a damaged file: %v, want ErrKeyExists", err)
			}
		})
	}
}

// TestSelfTestReadsDisk: a keystore whose disk is gone is not healthy.
func TestSelfTestReadsDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	d := open(t, dir)
	defer d.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := d.SelfTest(t.Context()); err == nil {
		t.Error("SelfTest passed without the folder")
	}
	if _, err := d.Info(t.Context()); !errors.Is(err, device.ErrUnavailable) {
		t.Errorf("Info: %v, want ErrUnavailable", err)
	}
}

// TestTwoProcesses: two Devices share no lock, as two processes would not.
func TestTwoProcesses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	a, b := open(t, dir), open(t, dir)
	defer a.Close()
	defer b.Close()
	for _, label := range []string{"x", "y", "z"} {
		var errA, errB error
		var wg sync.WaitGroup
		wg.Go(func() { _, errA = a.GenerateKey(t.Context(), label) })
		wg.Go(func() { _, errB = b.GenerateKey(t.Context(), label) })
		wg.Wait()
		if (errA == nil) == (errB == nil) {
			t.Fatalf("GenerateKey in two devices at once: %v and %v, want one winner", errA, errB)
		}
		keyA, errA := a.Key(t.Context(), label)
		keyB, errB := b.Key(t.Context(), label)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		sig, err := keyA.SignMessage(rand.Reader, []byte("m"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !verify(keyB.Public(), []byte("m"), sig) {
			t.Error("the two devices hold different keys under one label")
		}
	}
}

func TestFilesArePrivateAndTidy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	old, recent := filepath.Join(dir, ".new-old"), filepath.Join(dir, ".new-recent")
	for _, path := range []string{old, recent} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	defer d.Close()
	if _, err := d.GenerateKey(t.Context(), "tier/ca"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", e.Name(), info.Mode())
		}
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), ".new-recent tier%2Fca.p8.pem ~self-test.p8.pem"; got != want {
		t.Errorf("files = %s, want %s", got, want)
	}
}

func verify(pub crypto.PublicKey, message, sig []byte) bool {
	return sm2.VerifyASN1WithSM2(pub.(*ecdsa.PublicKey), nil, message, sig)
}
