package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Stream makes a file of what write writes, with the permissions mode, and gives
// it its name once check, which reads it from the disk, is content. An error leaves nothing
// behind, and a file that has the name already stays: the error is os.ErrExist.
func Stream(path string, mode os.FileMode, write func(io.Writer) error, check func(io.Reader) error) error {
	if err := stream(path, mode, write, check); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func stream(path string, mode os.FileMode, write func(io.Writer) error, check func(io.Reader) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return os.ErrExist
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }() // the file has its name by then, or is not wanted
	err = write(f)
	if err == nil {
		err = errors.Join(f.Chmod(mode), f.Sync())
	}
	if err == nil {
		if _, err = f.Seek(0, io.SeekStart); err == nil {
			err = check(f)
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	// A link, unlike a rename, never takes the place of another file.
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
