package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/terrace-pki/terrace/directory/slapd"
	"github.com/terrace-pki/terrace/internal/bench"
	"github.com/terrace-pki/terrace/internal/publishing"
	"github.com/terrace-pki/terrace/internal/transport"
)

// benchDirectoryBase is the suffix of the servers of a bench.
const benchDirectoryBase = "dc=bench"

// OpenBenchDirectory starts slapd twice on this machine, as a master and as a
// slave, with nothing in them: what an earlier bench left in dir is removed.
// closeAll ends them.
func OpenBenchDirectory(ctx context.Context, dir string) (servers bench.DirectoryServers, closeAll func() error, err error) {
	var closers []func() error
	closeAll = func() error {
		var failures []error
		for i := len(closers) - 1; i >= 0; i-- {
			failures = append(failures, closers[i]())
		}
		return errors.Join(failures...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("directory of the bench: %w", err), closeAll())
		}
	}()
	if dir, err = filepath.Abs(dir); err != nil {
		return servers, closeAll, err
	}
	ca, err := transport.NewAuthority(time.Now())
	if err != nil {
		return servers, closeAll, err
	}
	servers.Base = benchDirectoryBase
	open := func(c slapd.Config, account string, withLog bool) (publishing.Connection, error) {
		conn, err := OpenDirectory("ldaps://"+c.Address, slapd.AccountDN(account), passwordFile(c.Dir), c.CAFile, withLog)
		if err == nil {
			closers = append(closers, conn.Close)
		}
		return conn, err
	}
	var masterURL string
	for _, role := range []slapd.Role{slapd.Master, slapd.Slave} {
		c, err := benchSlapd(ca, role, filepath.Join(dir, string(role)))
		if err != nil {
			return servers, closeAll, err
		}
		c.MasterURL = masterURL
		process, err := slapd.Start(ctx, c)
		if err != nil {
			return servers, closeAll, err
		}
		closers = append(closers, func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return process.Stop(ctx)
		})
		writer, err := open(c, "writer", false)
		if err != nil {
			return servers, closeAll, err
		}
		if role == slapd.Slave {
			servers.Slave = writer
			continue
		}
		servers.Master, masterURL = writer, process.URL()
		if servers.Reader, err = open(c, "reader", true); err != nil {
			return servers, closeAll, err
		}
	}
	return servers, closeAll, nil
}

func passwordFile(dir string) string { return filepath.Join(dir, "password") }

// benchSlapd makes the folder of one server, with a password and a certificate.
func benchSlapd(ca *transport.Authority, role slapd.Role, dir string) (slapd.Config, error) {
	if err := os.RemoveAll(dir); err != nil {
		return slapd.Config{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return slapd.Config{}, err
	}
	host, err := loopbackAddress()
	if err != nil {
		return slapd.Config{}, err
	}
	password := rand.Text()
	c := slapd.Config{Role: role, Dir: dir, Address: host, Base: benchDirectoryBase, CertFile: filepath.Join(dir, transport.CertFile),
		KeyFile: filepath.Join(dir, transport.KeyFile), CAFile: filepath.Join(dir, transport.CAFile),
		Accounts: []slapd.Account{{Name: "writer", Password: password, Access: slapd.Write}}}
	if role == slapd.Master {
		c.Accounts = append(c.Accounts, slapd.Account{Name: "reader", Password: password, Access: slapd.Replicate})
	}
	root, _, err := ca.PEM()
	if err != nil {
		return c, err
	}
	cert, key, err := ca.Issue(time.Now(), transport.Process{Name: "bench", Hosts: []string{"127.0.0.1"}})
	if err != nil {
		return c, err
	}
	for file, content := range map[string][]byte{c.CAFile: root, c.CertFile: cert, c.KeyFile: key, passwordFile(dir): []byte(password)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return c, err
		}
	}
	return c, nil
}

func loopbackAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
