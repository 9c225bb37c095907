// Package softsdftest gives tests a real SDF library and devices of their own.
package softsdftest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

const libraryName = "libterrace-softsdf.so"

// build makes the library once in this process.
var build = sync.OnceValues(func() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	source := filepath.Dir(filepath.Dir(file))
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	// One folder for each checkout; make knows what is stale in it.
	sum := sha256.Sum256([]byte(source))
	dir := filepath.Join(cache, "terrace-softsdf", hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make cache directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("lock cache directory: %w", err)
	}
	defer lock.Close() // ends the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock cache directory: %w", err)
	}
	if out, err := exec.Command("make", "-s", "-C", source, "OUT="+dir, "all").CombinedOutput(); err != nil {
		return "", fmt.Errorf("make in %s: %w\n%s", source, err, out)
	}
	return filepath.Join(dir, libraryName), nil
})

// Options are lines of softsdf.conf; empty ones keep its defaults.
type Options struct{ MaxBits, Padding, SignAlgorithm, Devices, PasswordTries string }

// Device is the directory of one software SDF device.
type Device struct {
	LibraryPath string
	Dir         string
	Password    string
}

// New builds the library, makes a device without keys and points the process to
// it: the next SDF_OpenDevice opens it. Tests that use it must not run in parallel.
func New(t testing.TB, o Options) Device {
	t.Helper()
	library, err := build()
	if err != nil {
		t.Fatalf("build software SDF device: %v", err)
	}
	d := Device{LibraryPath: library, Dir: t.TempDir(), Password: "Passw0rd-of-indexes"}
	var conf bytes.Buffer
	for key, value := range map[string]string{"max-bits": o.MaxBits, "padding": o.Padding, "sign-algorithm": o.SignAlgorithm,
		"devices": o.Devices, "password-tries": o.PasswordTries} {
		if value != "" {
			fmt.Fprintf(&conf, "%s = %s\n", key, value)
		}
	}
	if err := os.WriteFile(filepath.Join(d.Dir, "softsdf.conf"), conf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TERRACE_SOFTSDF_DIR", d.Dir)
	return d
}

// MakeKey plays the maker's tool: it makes the key pair at an index under the
// device's password.
func (d Device) MakeKey(t testing.TB, index uint32) { d.MakeKeyUnder(t, index, d.Password) }

// MakeKeyUnder is MakeKey with an access password of the index's own.
func (d Device) MakeKeyUnder(t testing.TB, index uint32, password string) {
	t.Helper()
	private := d.path(index, "pem")
	for _, args := range [][]string{
		{"genpkey", "-algorithm", "SM2", "-aes-256-cbc", "-pass", "env:SOFTSDF_PASSWORD", "-out", private},
		{"pkey", "-in", private, "-passin", "env:SOFTSDF_PASSWORD", "-pubout", "-out", d.path(index, "pub")},
	} {
		cmd := exec.Command("openssl", args...)
		cmd.Env = append(os.Environ(), "SOFTSDF_PASSWORD="+password)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make key at index %d: openssl %s: %v\n%s", index, args[0], err, out)
		}
	}
}

// Failures is how many wrong passwords in a row the index has seen.
func (d Device) Failures(t testing.TB, index uint32) int {
	t.Helper()
	b, err := os.ReadFile(d.path(index, "failures"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	n, parseErr := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || parseErr != nil {
		t.Fatalf("failures of index %d: %v, %v", index, err, parseErr)
	}
	return n
}

// SetFault makes the device fail in the way of one line; "" ends it.
func (d Device) SetFault(t testing.TB, line string) {
	t.Helper()
	path := filepath.Join(d.Dir, "fault")
	if line == "" {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return
	}
	// By rename, as the library must not read half a file.
	temp := filepath.Join(t.TempDir(), "fault")
	if err := os.WriteFile(temp, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, path); err != nil {
		t.Fatal(err)
	}
}

func (d Device) path(index uint32, ending string) string {
	return filepath.Join(d.Dir, fmt.Sprintf("sign-%d.%s", index, ending))
}
