package atomicfile_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/terrace-pki/terrace/internal/atomicfile"
)

func TestStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, failed := io.WriteString(w, text)
			return errors.Join(failed, err)
		}
	}
	var seen string
	check := func(r io.Reader) error {
		b, err := io.ReadAll(r)
		seen = string(b)
		return err
	}
	broken := errors.New("broken")
	for name, err := range map[string]error{
		"write fails": atomicfile.Stream(path, 0o600, write("half", broken), check),
		"check fails": atomicfile.Stream(path, 0o600, write("all", nil), func(io.Reader) error { return broken }),
	} {
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := atomicfile.Stream(path, 0o600, write("all", nil), check); err != nil || seen != "all" {
		t.Fatalf("saw %q, %v", seen, err)
	}
	if err := atomicfile.Stream(path, 0o600, write("another", nil), check); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 3 {
		t.Errorf("file: %v, %v", info, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
