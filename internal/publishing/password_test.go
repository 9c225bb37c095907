package publishing

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPasswords(t *testing.T) {
	dir := t.TempDir()
	write := func(name, value string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("ns_good_key", "secret\n", 0o440)
	write("ns_open_key", "secret", 0o444)
	write("ns_empty_key", "\n", 0o600)
	write("ns_long_key", strings.Repeat("x", maxPassword+1), 0o600)
	p := NewPasswords(dir)
	for name, want := range map[string]string{"good": "secret", "open": "", "empty": "", "long": "", "absent": ""} {
		got, err := p.Get(PasswordRef{"ns", name, "key"})
		if string(got) != want || (want == "") != errors.Is(err, ErrNoPassword) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret\n") {
			t.Errorf("%s: the error has the content", name)
		}
	}
	if _, err := p.Get(PasswordRef{"ns", "good", "../../etc/passwd"}); !errors.Is(err, ErrNoPassword) {
		t.Errorf("a path: %v", err)
	}
	ref := PasswordRef{"ns", "good", "key"}
	if !p.Set(ref, []byte("newer")) || p.Set(ref, []byte("newer")) {
		t.Error("Set does not say what is new")
	}
	if got, err := p.Get(ref); err != nil || string(got) != "newer" {
		t.Errorf("after Set: %q, %v: a Secret goes before a file", got, err)
	}
	if _, err := NewPasswords("").Get(ref); !errors.Is(err, ErrNoPassword) {
		t.Errorf("without a folder: %v", err)
	}
}
