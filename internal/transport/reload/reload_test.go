package reload

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/atomicfile"
)

var errBad = errors.New("bad")

func open(t *testing.T, path string) *Files[string] {
	t.Helper()
	f, err := Open(func() (string, error) {
		b, err := os.ReadFile(path)
		if string(b) == "bad" {
			return "", errBad
		}
		return string(b), err
	}, path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := atomicfile.Write(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// elapse makes the interval pass.
func (f *Files[T]) elapse() { f.looked = f.looked.Add(-2 * Interval) }

func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "one")
	f := open(t, path)

	write(t, path, "two")
	if got := f.Get(); got != "one" {
		t.Errorf("within the interval: got %q, want %q", got, "one")
	}
	f.elapse()
	if got := f.Get(); got != "two" {
		t.Errorf("after a change: got %q, want %q", got, "two")
	}
	write(t, path, "bad")
	f.elapse()
	if got := f.Get(); got != "two" {
		t.Errorf("after a bad change: got %q, want the value from before", got)
	}
	if err := f.Err(); !errors.Is(err, errBad) {
		t.Errorf("after a bad change: got %v, want %v", err, errBad)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.elapse()
	if err := f.Err(); !errors.Is(err, os.ErrNotExist) || f.Get() != "two" {
		t.Errorf("after a removal: got %v, %q; want the value from before", err, f.Get())
	}
	write(t, path, "four")
	f.elapse()
	if err := f.Err(); err != nil || f.Get() != "four" {
		t.Errorf("after a cure: got %v, %q; want %q", err, f.Get(), "four")
	}
}

// A mounted Secret: f -> ..data/f, ..data -> a folder that is exchanged.
func TestFilesBehindALink(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, d, "f"), d)
		// The same time and size: only the file itself tells.
		if err := os.Chtimes(filepath.Join(dir, d, "f"), time.Time{}, time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to string) {
		t.Helper()
		if err := errors.Join(os.Symlink(to, filepath.Join(dir, "new")), os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "..data"))); err != nil {
			t.Fatal(err)
		}
	}
	link("one")
	path := filepath.Join(dir, "f")
	if err := os.Symlink("..data/f", path); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	link("two")
	f.elapse()
	if got := f.Get(); got != "two" {
		t.Errorf("after the link was turned: got %q, want %q", got, "two")
	}
}

func TestOpenFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if _, err := Open(func() ([]byte, error) { return os.ReadFile(path) }, path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: got %v, want %v", err, os.ErrNotExist)
	}
}
