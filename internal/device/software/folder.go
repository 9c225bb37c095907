package software

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/device"
)

const (
	suffix     = ".p8.pem"
	tempPrefix = ".new-"
	// tempAge: a temporary file this old belongs to a process that died.
	tempAge = time.Hour
	// maxFile bounds a key file in bytes; one of ours has about 400.
	maxFile = 64 << 10
	// maxName bounds the escaped label so that it fits in the 255 bytes of a file name.
	maxName = 120
)

// folder is the path of a keystore.
type folder string

// prepare makes the folder or checks it, and removes what dead processes left.
func (f folder) prepare() error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(string(f), tempPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > tempAge {
			_ = os.Remove(path) // the next Open tries again
		}
	}
	return nil
}

func (f folder) check() error {
	info, err := os.Stat(string(f))
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", f)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("folder %s has mode %04o; others must not enter it: chmod 700 %s", f, mode, f)
	}
	return nil
}

func (f folder) has(name string) bool {
	_, err := os.Lstat(filepath.Join(string(f), name))
	return err == nil
}

func (f folder) read(name string) ([]byte, error) {
	file, err := os.Open(filepath.Join(string(f), name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", file.Name(), maxFile)
	}
	return data, nil
}

// create writes a file that must not exist yet, or returns fs.ErrExist.
//
// The data is complete on disk under a temporary name before link(2) gives it
// its own, which fails when the name is taken. If we die before the link, there
// is no key; if we die after it, the key is there and Key finds it.
func (f folder) create(name string, data []byte) (err error) {
	temp, err := os.CreateTemp(string(f), tempPrefix+"*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if rmErr := os.Remove(temp.Name()); err == nil {
			err = rmErr
		}
	}()
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), filepath.Join(string(f), name)); err != nil {
		return err
	}
	return f.sync()
}

func (f folder) sync() error {
	dir, err := os.Open(string(f))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// fileName derives the file name of a label: the label itself where it is plain,
// other bytes as %XX. A long one is cut and ends in ~ and the label's SM3; ~ never
// occurs otherwise, so no two labels share a name.
func fileName(label string) string {
	if label == device.SelfTestLabel {
		return "~self-test" + suffix
	}
	var b strings.Builder
	for i := range len(label) {
		c := label[i]
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '-' || c == '_' || c == '.' && i > 0 // no hidden files
		if plain {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	name := b.String()
	if len(name) > maxName {
		sum := sm3.Sum([]byte(label))
		name = name[:maxName] + "~" + hex.EncodeToString(sum[:])
	}
	return name + suffix
}
