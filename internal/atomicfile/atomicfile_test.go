package atomicfile_test

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/terrace-pki/terrace/internal/atomicfile"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("an old and longer text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "new" {
		t.Errorf("contents: got %q, %v; want %q", got, err, "new")
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %o, want 600", info.Mode().Perm())
	}
}

// A failed write leaves what was there, and nothing else.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.Mkdir(path, 0o700); err != nil { // a rename cannot replace it
		t.Fatal(err)
	}
	if err := atomicfile.Write(path, []byte("new"), 0o600); err == nil {
		t.Fatal("a directory was replaced by a file")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || !entries[0].IsDir() {
		t.Errorf("left behind: %v", entries)
	}
}

// The file never stands under its name as anybody else's: its owner could put a
// link there before it is given away by name, and get what the link leads to.
func TestWriteOwnedIsOwnedFromTheStart(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root, which alone can make files of others: make test runs as root")
	}
	path := filepath.Join(t.TempDir(), "f")
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			info, err := os.Lstat(path)
			if err != nil {
				continue // between two
			}
			if s := info.Sys().(*syscall.Stat_t); s.Uid != 65003 || s.Gid != 65004 || info.Mode().Perm() != 0o600 {
				t.Errorf("seen with user %d, group %d, mode %o; want 65003, 65004, 600", s.Uid, s.Gid, info.Mode().Perm())
				return
			}
		}
	})
	for range 50 {
		if err := atomicfile.WriteOwned(path, []byte("x"), 0o600, atomicfile.Owner{UID: 65003, GID: 65004}); err != nil {
			t.Error(err)
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
}
