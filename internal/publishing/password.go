package publishing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// ErrNoPassword: the bind password is neither known from the API nor in a file.
var ErrNoPassword = errors.New("bind password is not known")

// maxPassword in bytes.
const maxPassword = 4 << 10

// PasswordRef names the entry of a Secret that holds a bind password.
type PasswordRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Key       string `json:"key"`
}

// FileName under which the entry is looked for: "<namespace>_<secret>_<key>".
func (r PasswordRef) FileName() string { return r.Namespace + "_" + r.Name + "_" + r.Key }

// Passwords are the bind passwords of a process. Those that a controller read
// from Secrets are in memory alone; a folder, if there is one, stands in for the
// API server when it is away. All methods may be used concurrently.
type Passwords struct {
	dir string

	mu     sync.RWMutex
	values map[PasswordRef][]byte
}

// NewPasswords returns none. dir may be empty; it holds files named by
// PasswordRef.FileName, e.g. a mounted Secret.
func NewPasswords(dir string) *Passwords {
	return &Passwords{dir: dir, values: map[PasswordRef][]byte{}}
}

// Set keeps what a Secret holds, and says whether that is new.
func (p *Passwords) Set(ref PasswordRef, value []byte) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bytes.Equal(p.values[ref], value) {
		return false
	}
	p.values[ref] = bytes.Clone(value)
	return true
}

// Get returns the password: the Secret's if one was read, else the file's.
func (p *Passwords) Get(ref PasswordRef) ([]byte, error) {
	p.mu.RLock()
	value := bytes.Clone(p.values[ref])
	p.mu.RUnlock()
	if len(value) > 0 {
		return value, nil
	}
	if p.dir == "" {
		return nil, fmt.Errorf("%w: entry %q of Secret %s/%s was not read yet; it is when the API server is back, or give the process --bind-password-dir",
			ErrNoPassword, ref.Key, ref.Namespace, ref.Name)
	}
	value, err := p.read(ref)
	if err != nil {
		return nil, fmt.Errorf("%w: entry %q of Secret %s/%s was not read yet, and --bind-password-dir: %w", ErrNoPassword, ref.Key, ref.Namespace, ref.Name, err)
	}
	return value, nil
}

func (p *Passwords) read(ref PasswordRef) ([]byte, error) {
	name := ref.FileName()
	if strings.ContainsAny(name, "/\\\x00") {
		return nil, errors.New("the names cannot be a file's")
	}
	return ReadPassword(filepath.Join(p.dir, name))
}

// ReadPassword reads a password file, without the line end that an editor leaves.
// It refuses one that everybody may read.
func ReadPassword(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, which lets everybody use it: chmod o= it, and change the password if somebody could read it", path, mode)
	}
	value, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return nil, err
	}
	value = bytes.TrimRight(value, "\r\n")
	if len(value) == 0 || len(value) > maxPassword {
		return nil, fmt.Errorf("%s: want 1 to %d bytes", path, maxPassword)
	}
	return value, nil
}
