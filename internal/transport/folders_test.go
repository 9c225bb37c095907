package transport

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a process puts into its folder, which is its own, is nothing that
// EnsureFolders, which is root, opens or waits for on its behalf.
func TestEnsureFoldersOpensRegularFilesAlone(t *testing.T) {
	now, list := time.Now(), []Process{{Name: "ra"}}
	for name, tc := range map[string]struct {
		put  func(path string) error
		want string
	}{
		"a link to what others may not read": {func(path string) error { return os.Symlink("/etc/shadow", path) }, "is a link"},
		"a link to a folder's own file":      {func(path string) error { return os.Symlink(CertFile, path) }, "is a link"},
		"a pipe that nobody writes":          {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is no regular file"},
		"a folder":                           {func(path string) error { return os.Mkdir(path, 0o700) }, "is no regular file"},
		"more than fits": {func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("\n"), maxLeafFile+1), 0o600) },
			"has more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := EnsureFolders(dir, list, now); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "ra", CAFile)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := tc.put(path); err != nil {
				t.Fatal(err)
			}
			_, err := EnsureFolders(dir, list, now)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it") {
				t.Errorf("got %v, want %q, the path and the cure", err, tc.want)
			}
		})
	}
}

// A folder of another user gets files of that user's, also when they are renewed.
func TestEnsureFoldersGivesFilesToTheirUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root, which alone can make files of others: make test runs as root")
	}
	dir, now := t.TempDir(), time.Now()
	mine := filepath.Join(dir, "ra")
	if err := os.Mkdir(mine, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(mine, 65003, 65003); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{now, now.Add(61 * day)} {
		if changed, err := EnsureFolders(dir, []Process{{Name: "ra"}, {Name: "ca"}}, at); err != nil || !changed {
			t.Fatal(changed, err)
		}
		for path, want := range map[string]uint32{"ra": 65003, "ca": 0} {
			for _, file := range leafFiles {
				info, err := os.Stat(filepath.Join(dir, path, file))
				if err != nil {
					t.Fatal(err)
				}
				if s := info.Sys().(*syscall.Stat_t); s.Uid != want || s.Gid != want || info.Mode().Perm() != 0o600 {
					t.Errorf("%s/%s: got user %d, group %d, mode %o; want %d and 600", path, file, s.Uid, s.Gid, info.Mode().Perm(), want)
				}
			}
		}
	}
}
