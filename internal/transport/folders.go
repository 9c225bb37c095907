package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/terrace-pki/terrace/internal/atomicfile"
)

// AuthorityDir is where EnsureFolders keeps the CA. It is not "ca", which is a
// process; no process may have this name.
const AuthorityDir = "transport-ca"

// authorityFile holds the CA's material as one file, since a crash between two
// would leave a key without its certificate.
const authorityFile = "authority.json"

const (
	maxAuthorityFile = 1 << 20  // bytes
	maxLeafFile      = 64 << 10 // bytes, of each file of a process
)

// EnsureFolders is Ensure for an installation without a cluster. It keeps the
// CA in dir/transport-ca and each process's files in dir/<name>, makes what is
// missing with modes 0700 and 0600, and does nothing when nothing is due. A
// folder that exists may belong to another user; what is written into it is then
// given to that user, which needs root. Calls for one dir wait for one another,
// also across processes.
//
// A crash leaves some folders renewed and others not; the next call goes on.
func EnsureFolders(dir string, processes []Process, now time.Time) (changed bool, err error) {
	fail := func(err error) (bool, error) {
		return false, fmt.Errorf("transport certificates in %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fail(err)
	}
	unlock, err := lock(filepath.Join(dir, ".lock"))
	if err != nil {
		return fail(err)
	}
	defer unlock()

	state := State{Leaves: map[string]Material{}}
	if state.Authority, err = readAuthorityFile(filepath.Join(dir, AuthorityDir, authorityFile)); err != nil {
		return fail(err)
	}
	for _, p := range processes {
		if p.Name == AuthorityDir {
			return fail(fmt.Errorf("process name %q is taken by the CA; choose another", p.Name))
		}
		if err := p.Validate(); err != nil { // before it becomes a path
			return fail(err)
		}
		if state.Leaves[p.Name], err = readFolder(filepath.Join(dir, p.Name)); err != nil {
			return fail(err)
		}
	}
	next, changed, err := Ensure(now, state, processes)
	if err != nil {
		return fail(err)
	}
	if !changed {
		return false, nil
	}
	// The CA first: leaves of a CA that a crash loses would be of no use.
	if err := writeAuthority(filepath.Join(dir, AuthorityDir), state.Authority, next.Authority); err != nil {
		return fail(err)
	}
	for _, p := range processes {
		if err := writeFolder(filepath.Join(dir, p.Name), state.Leaves[p.Name], next.Leaves[p.Name]); err != nil {
			return fail(err)
		}
	}
	return true, nil
}

func readAuthorityFile(path string) (Material, error) {
	b, err := readRegular(path, maxAuthorityFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var text map[string]string
	if json.Unmarshal(b, &text) != nil || len(text) == 0 {
		return nil, fmt.Errorf("%s: is damaged; restore it from a backup, or remove it and the folder of each process", path)
	}
	m := Material{}
	for name, v := range text {
		m[name] = []byte(v)
	}
	return m, nil
}

func writeAuthority(dir string, before, m Material) error {
	if equal(before, m) {
		return nil
	}
	text := map[string]string{}
	for name, v := range m {
		text[name] = string(v)
	}
	b, err := json.MarshalIndent(text, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, authorityFile), append(b, '\n'), 0o600)
}

// leafFiles in the order of writing. Trust comes before identity, so that a
// process never shows a leaf before it trusts those that its peers may show. A
// crash between key and certificate is seen, and made good, by the next Ensure.
var leafFiles = []string{CAFile, KeyFile, CertFile}

func readFolder(dir string) (Material, error) {
	m := Material{}
	for _, name := range leafFiles {
		b, err := readRegular(filepath.Join(dir, name), maxLeafFile)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w; remove it, it is made again", err)
		}
		if err == nil {
			m[name] = b
		}
	}
	return m, nil
}

// readRegular reads a file of at most size bytes from a folder that may belong
// to somebody else, for whom this process must not open what he cannot: a link is
// not followed, and what is no regular file is not read, nor waited for.
func readRegular(path string, size int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: it is a link, which is not followed", err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is no regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, size+1)) // it may grow meanwhile
	if err == nil && int64(len(b)) > size {
		err = fmt.Errorf("%s: has more than %d bytes", path, size)
	}
	return b, err
}

func writeFolder(dir string, before, m Material) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	for _, name := range leafFiles {
		if bytes.Equal(before[name], m[name]) {
			continue
		}
		path := filepath.Join(dir, name)
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok || int(owner.Uid) == os.Geteuid() {
			if err := atomicfile.Write(path, m[name], 0o600); err != nil {
				return err
			}
			continue
		}
		if err := atomicfile.WriteOwned(path, m[name], 0o600, atomicfile.Owner{UID: int(owner.Uid), GID: int(owner.Gid)}); err != nil {
			return fmt.Errorf("%w; the folder belongs to another user: run this as root or as that user", err)
		}
	}
	return nil
}

func equal(a, b Material) bool {
	if len(a) != len(b) {
		return false
	}
	for name, v := range a {
		if w, ok := b[name]; !ok || !bytes.Equal(v, w) {
			return false
		}
	}
	return true
}

// lock waits for the file lock, which ends with the process at the latest.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}
