package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/terrace-pki/terrace/internal/archive"
	"github.com/terrace-pki/terrace/internal/atomicfile"
	"github.com/terrace-pki/terrace/internal/authority"
)

// ArchivedLedger is what an archive holds.
type ArchivedLedger struct {
	File          string    `json:"file"`
	Digest        string    `json:"sm3"`
	ExpiredBefore time.Time `json:"expiredBefore"`
	Certificates  int       `json:"certificates"`
	// Dropped is how many certificates' content left the ledger.
	Dropped int64 `json:"dropped"`
	More    bool  `json:"more"`
}

// errNothingExpired ends an archive that would be empty.
var errNothingExpired = errors.New("nothing to archive")

// ArchiveLedger writes the certificates that expired longer than age ago to a new
// file and drops their content from the ledger. It takes over a SQLite ledger, and is an instance
// of its own on PostgreSQL, beside those that issue.
func ArchiveLedger(ctx context.Context, ledger, file string, age time.Duration) (out ArchivedLedger, err error) {
	if age < archive.LeastAge {
		return out, fmt.Errorf("--older-than: %s: want a year (1y) or more after the certificates' end", age)
	}
	store, err := Core{LedgerDSN: ledger, Instance: "archive"}.openLedger(ctx)
	if err != nil {
		return out, fmt.Errorf("open ledger: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	alive, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // so that ca does not take over from it while it writes the file
		for alive.Err() == nil {
			_, _ = store.Renew(alive, authority.DefaultSilence) // one that fails is tried again, and Drop says so
			select {
			case <-alive.Done():
			case <-time.After(authority.DefaultSilence / 4):
			}
		}
	}()
	archiver, ok := store.(authority.Archiver)
	if !ok {
		return out, fmt.Errorf("archive: a %T cannot", store)
	}
	out = ArchivedLedger{File: file, ExpiredBefore: time.Now().Add(-age).UTC().Truncate(time.Second)}
	var written archive.Written
	err = atomicfile.Stream(file, 0o600, func(w io.Writer) error {
		written, err = archive.Write(ctx, archiver, out.ExpiredBefore, archive.Most, w)
		if err == nil && len(written.Rows) == 0 {
			err = errNothingExpired
		}
		return err
	}, func(r io.Reader) error {
		digest, n, err := archive.Verify(r)
		if err == nil && (n != len(written.Rows) || string(digest) != string(written.Digest)) {
			err = errors.New("the file is not what was written")
		}
		return err
	})
	if errors.Is(err, errNothingExpired) {
		out.File = ""
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Digest, out.Certificates, out.More = hex.EncodeToString(written.Digest), len(written.Rows), written.More
	// Die from here on: the file has the certificates, and the next run archives
	// those once more whose content is still there.
	out.Dropped, err = archive.Drop(ctx, archiver, out.ExpiredBefore, filepath.Base(file), written)
	return out, err
}
