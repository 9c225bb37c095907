// Package atomicfile replaces a file as a whole.
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write makes path hold data with the permissions mode. A reader, and whoever
// looks after a crash or a power cut, finds the old contents or the new ones,
// never a part. The directory of path must exist.
func Write(path string, data []byte, mode os.FileMode) error {
	return write(path, data, mode, nil)
}

// Owner is a user and a group, by number.
type Owner struct{ UID, GID int }

// WriteOwned is Write for a file of another user, also in a directory of that
// user's: the file has its owner before it has its name, so that whatever the
// user puts in its place meanwhile is never given away. It needs root.
func WriteOwned(path string, data []byte, mode os.FileMode, owner Owner) error {
	return write(path, data, mode, &owner)
}

func write(path string, data []byte, mode os.FileMode, owner *Owner) error {
	temp, err := writeTemp(path, data, mode, owner)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(temp)))
	}
	// Until the directory is on disk too, a power cut may bring the old name back.
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// writeTemp puts data on disk under a name beside path. Mode and owner are those
// of the open file: its name may lead elsewhere by now.
func writeTemp(path string, data []byte, mode os.FileMode, owner *Owner) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if owner != nil {
		err = errors.Join(err, f.Chown(owner.UID, owner.GID))
	}
	// The contents must be on disk before the name points at them: after a
	// power cut the name would otherwise lead to an empty file.
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
