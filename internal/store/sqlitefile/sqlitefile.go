// Package sqlitefile opens SQLite files as every store of ours wants them: a
// write-ahead log, every commit on the disk, one writer beside many readers, and
// nobody else who may read.
package sqlitefile

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

const (
	// busyTimeout is how long a write waits for another process, such as a backup.
	busyTimeout = 10 * time.Second
	// statements is how many prepared statements a connection keeps.
	statements = 256
)

// Prepare makes the file before SQLite does, because of its mode, and returns
// its absolute path; SQLite gives the log beside it the same. Without create a
// file that is missing is os.ErrNotExist.
func Prepare(path string, create bool) (string, error) {
	if path == "" {
		return "", errors.New("the path is empty")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	flags := os.O_RDWR
	if create {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return "", err
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		if err := f.Chmod(0o600); err != nil {
			return "", errors.Join(fmt.Errorf("others may read the file: %w", err), f.Close())
		}
	}
	return path, f.Close()
}

// Writer is the one connection that writes. Every transaction is IMMEDIATE: what
// interferes waits before it begins. cacheKiB bounds the pages that it keeps.
func Writer(path string, cacheKiB int) *sql.DB {
	return connect(path, cacheKiB, url.Values{"_txlock": {"immediate"}}, 1)
}

// Reader is n connections that can write nothing.
func Reader(path string, cacheKiB, n int) *sql.DB {
	return connect(path, cacheKiB, url.Values{"_query_only": {"1"}}, n)
}

func connect(path string, cacheKiB int, q url.Values, most int) *sql.DB {
	q.Set("_journal_mode", "WAL")
	q.Set("_synchronous", "FULL")
	q.Set("_foreign_keys", "1")
	q.Set("_busy_timeout", fmt.Sprint(busyTimeout.Milliseconds()))
	q.Set("_stmt_cache_size", fmt.Sprint(statements))
	q.Set("_cache_size", fmt.Sprint(-cacheKiB))
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
	db := sql.OpenDB(connector{dsn})
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db
}
