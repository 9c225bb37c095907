package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/terrace-pki/terrace/internal/backup"
	"github.com/terrace-pki/terrace/internal/store/sqlstore"
)

// CheckAbsent returns an error unless no file is at path, or an empty one.
func CheckAbsent(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("sqlite: restore ledger: %w", err)
	case info.Size() > 0:
		return fmt.Errorf("sqlite: restore ledger: %s: %w", path, sqlstore.ErrThere)
	}
	return nil
}

// Restore makes the file c.Path from a backup that was read once and found
// undamaged; see [sqlstore.Restore]. After an error there is no file.
func Restore(ctx context.Context, c Config, r io.Reader, progress func(table string, rows int64)) (backup.Manifest, error) {
	if err := CheckAbsent(c.Path); err != nil {
		return backup.Manifest{}, err
	}
	config, err := configure(c.Path, true, schema, "schema")
	if err != nil {
		return backup.Manifest{}, fmt.Errorf("sqlite: restore ledger: %w", err)
	}
	config.Exclusive, config.Now = true, c.Now
	m, err := sqlstore.Restore(ctx, config, r, progress)
	if err != nil {
		for _, name := range []string{c.Path, c.Path + "-wal", c.Path + "-shm"} {
			if gone := os.Remove(name); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}
	return m, err
}
