package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/terrace-pki/terrace/internal/atomicfile"
	"github.com/terrace-pki/terrace/internal/backup"
	"github.com/terrace-pki/terrace/internal/store/postgres"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// Progress tells how many rows of a table are done; it may be nil.
type Progress = func(table string, rows int64)

// SavedLedger is what a backup holds.
type SavedLedger struct {
	File   string    `json:"file"`
	At     time.Time `json:"at"`
	Digest string    `json:"sm3"`
	backup.Manifest
}

// BackUpLedger saves a ledger, which may be in use, to a new file that only its
// owner may read, and reads it again before it has its name.
func BackUpLedger(ctx context.Context, ledger, file string, progress Progress) (saved SavedLedger, err error) {
	store, err := ReadLedger(ctx, ledger)
	if err != nil {
		return saved, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	source, ok := store.(backup.Source)
	if !ok {
		return saved, fmt.Errorf("back ledger up: a %T cannot", store)
	}
	err = atomicfile.Stream(file, 0o600, func(w io.Writer) error {
		m, digest, err := source.Backup(ctx, w, progress)
		saved = SavedLedger{File: file, Digest: hex.EncodeToString(digest), Manifest: m}
		return err
	}, func(r io.Reader) error {
		_, digest, err := backup.Read(r, backup.Visitor{Header: func(h backup.Header) error { saved.At = h.At; return ctx.Err() }})
		if err == nil && hex.EncodeToString(digest) != saved.Digest {
			err = backup.ErrDamaged
		}
		return err
	})
	return saved, err
}

// RestoreLedger loads a backup into a database without a ledger, once all of the
// file was found undamaged; digest, if not empty, is what its SM3 must be. dry: it only looks.
func RestoreLedger(ctx context.Context, ledger, file, digest string, dry bool, progress Progress) (saved SavedLedger, err error) {
	driver, rest, err := dsn("--ledger", ledger, "TERRACE_LEDGER")
	if err != nil {
		return saved, err
	}
	f, err := os.Open(file)
	if err != nil {
		return saved, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	m, sum, err := backup.Read(f, backup.Visitor{Header: func(h backup.Header) error { saved.At = h.At; return nil }, Row: func([]any) error { return ctx.Err() }})
	if err != nil {
		return saved, fmt.Errorf("read %s: %w", file, err)
	}
	saved.File, saved.Digest, saved.Manifest = file, hex.EncodeToString(sum), m
	if digest != "" && digest != saved.Digest {
		return saved, fmt.Errorf("read %s: its SM3 is %s, not %s: it is another backup", file, saved.Digest, digest)
	}
	if driver == "sqlite" {
		err = sqlite.CheckAbsent(rest)
	} else {
		err = postgres.CheckAbsent(ctx, rest)
	}
	if err != nil || dry {
		return saved, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return saved, err
	}
	if driver == "sqlite" {
		_, err = sqlite.Restore(ctx, sqlite.Config{Path: rest}, f, progress)
	} else {
		_, err = postgres.Restore(ctx, postgres.Config{DSN: rest}, f, progress)
	}
	return saved, err
}
