package slapd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/terrace-pki/terrace/directory"
)

// Paths of Debian's packages.
const (
	slapdPath   = "/usr/sbin/slapd"
	slapaddPath = "/usr/sbin/slapadd"
)

// Load replaces the contents of a server that is not running by LDIF, parents
// first, as directory.WriteLDIF writes it: many times faster than over LDAP.
// If we die meanwhile, the earlier contents stay. The master's log of changes
// begins anew, so a pusher compares.
func Load(ctx context.Context, c Config, ldif io.Reader) error {
	c, err := c.withDefaults()
	if err != nil {
		return fmt.Errorf("load directory: %w", err)
	}
	unlock, err := prepare(c)
	if err != nil {
		return fmt.Errorf("load directory: %w", err)
	}
	defer unlock()
	if err := load(ctx, c, ldif); err != nil {
		return fmt.Errorf("load directory: %w", err)
	}
	return nil
}

func load(ctx context.Context, c Config, ldif io.Reader) error {
	loading := filepath.Join(c.Dir, loadDir)
	if err := emptyDir(loading); err != nil {
		return err
	}
	conf := filepath.Join(c.Dir, "slapd-load.conf")
	if err := os.WriteFile(conf, []byte(c.conf(quote(loading))), 0o600); err != nil {
		return err
	}
	// -q checks less and does not sync; nothing else uses the folder.
	if err := slapadd(ctx, conf, c.Base, ldif, "-q"); err != nil {
		return err
	}
	if err := emptyDir(filepath.Join(c.Dir, logDir)); err != nil {
		return err
	}
	data := filepath.Join(c.Dir, dataDir)
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	return os.Rename(loading, data)
}

// loadAccounts makes the accounts' database anew.
func loadAccounts(ctx context.Context, c Config, conf string) error {
	if err := emptyDir(filepath.Join(c.Dir, accountsDir)); err != nil {
		return err
	}
	list := func(_ context.Context, yield func(directory.Entry) error) error {
		attribute := func(typ string, values ...string) directory.Attribute {
			a := directory.Attribute{Type: typ}
			for _, v := range values {
				a.Values = append(a.Values, []byte(v))
			}
			return a
		}
		err := yield(directory.NewEntry(accountBase, attribute("objectClass", "applicationProcess"), attribute("cn", "accounts")))
		for _, a := range c.Accounts {
			if err != nil {
				return err
			}
			hash, hashErr := hashPassword(a.Password)
			if hashErr != nil {
				return hashErr
			}
			err = yield(directory.NewEntry(AccountDN(a.Name),
				attribute("objectClass", "applicationProcess", "simpleSecurityObject"),
				attribute("cn", a.Name), attribute("userPassword", hash)))
		}
		return err
	}
	var ldif bytes.Buffer
	if _, err := directory.WriteLDIF(ctx, &ldif, list); err != nil {
		return err
	}
	return slapadd(ctx, conf, accountBase, &ldif)
}

func slapadd(ctx context.Context, conf, base string, ldif io.Reader, flags ...string) error {
	cmd := exec.CommandContext(ctx, slapaddPath, append(flags, "-f", conf, "-b", base)...)
	cmd.Stdin = ldif
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return errNotInstalled
	}
	return fmt.Errorf("slapadd: %w: %s", err, lastLines(string(out)))
}

var errNotInstalled = errors.New("slapd is not installed; apt-get install slapd")

func emptyDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}

// lastLines bounds what goes from slapd's output into an error.
func lastLines(s string) string {
	const most = 1000
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-most):]
}
