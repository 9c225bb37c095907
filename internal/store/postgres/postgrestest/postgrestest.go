// Package postgrestest runs a real PostgreSQL 15 for tests.
package postgrestest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver
)

// bin is where Debian's package postgresql-15 has its programs.
const bin = "/usr/lib/postgresql/15/bin"

// dsnEnv names a server to use in place of an own one; its user may create databases.
const dsnEnv = "TERRACE_TEST_POSTGRES_DSN"

var server struct {
	once sync.Once
	dsn  string // without a database
	err  error
	// lifeline is closed when this process ends, and the watcher reads that.
	lifeline io.Closer
}

// Start returns the DSN of a fresh database on a server that this process
// started once and that ends with it. Its fsync is on, as in production.
func Start(t testing.TB) string {
	t.Helper()
	server.once.Do(func() {
		if server.dsn = os.Getenv(dsnEnv); server.dsn == "" {
			server.dsn, server.err = start()
		}
	})
	if server.err != nil {
		t.Fatalf("start PostgreSQL: %v", server.err)
	}
	db, err := sql.Open("pgx", server.dsn+"&dbname=postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := "t" + strings.ToLower(rand.Text())
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatalf("create database: %v", err)
	}
	return server.dsn + "&dbname=" + name
}

// start makes a cluster in a temporary folder and runs the server on a socket
// in it. A watcher ends it with this process.
func start() (string, error) {
	if _, err := os.Stat(filepath.Join(bin, "initdb")); err != nil {
		return "", fmt.Errorf("%w: install Debian's package postgresql-15", err)
	}
	dir, err := os.MkdirTemp("/tmp", "tpg-")
	if err != nil {
		return "", err
	}
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres") // initdb refuses to run as root
		if err != nil {
			return "", fmt.Errorf("%w: Debian's package postgresql-15 makes this user", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return "", err
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "terrace", "-A", "trust", "-E", "UTF8", "--no-locale")
	initdb.Dir = dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: attr.Credential}
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	// A watcher ends the server and removes the folder once this process is gone.
	script := fmt.Sprintf(`trap '' INT TERM HUP; %s/postgres -D %s -k %s -c listen_addresses= >%s/log 2>&1 & server=$!; read _; kill -QUIT $server; wait $server; rm -rf %s`, bin, data, dir, dir, dir)
	watcher := exec.Command("/bin/sh", "-c", script)
	watcher.Dir = dir
	watcher.SysProcAttr = &syscall.SysProcAttr{Credential: attr.Credential, Setpgid: true}
	if server.lifeline, err = watcher.StdinPipe(); err != nil {
		return "", err
	}
	var stderr bytes.Buffer
	watcher.Stderr = &stderr
	if err := watcher.Start(); err != nil {
		return "", err
	}
	dsn := "postgres://terrace@/?sslmode=disable&host=" + dir
	return dsn, waitUp(dsn+"&dbname=postgres", dir)
}

func waitUp(dsn, dir string) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := db.PingContext(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return fmt.Errorf("not up after 30 s: %w: %s", err, log)
		}
	}
}
