// Package slapd runs OpenLDAP's slapd as a child process, as the directory
// master or one of its slaves. Everything it reads and writes is in a folder of
// its own: the system's configuration and service are never touched.
//
// It listens on LDAPS alone. A slave has no syncrepl, no chain overlay and no
// backend that could connect to anything; it takes writes from one account, the
// pusher's, and refers all others to the master ("updatedn" and "updateref",
// which slapd 2.5 still honours without syncrepl).
//
// Accounts stand in a small database of their own, cn=accounts, that is made
// anew from the configuration at each start, so that the directory's own tree
// holds no passwords and is the same on all servers.
package slapd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/terrace-pki/terrace/directory"
)

// LogBase is the DN of the master's log of changes, for ldap.Config.
const LogBase = "cn=log"

const accountBase = "cn=accounts"

// Role of a server.
type Role string

// Roles.
const (
	Master Role = "Master"
	Slave  Role = "Slave"
)

// Access is what an account may do.
type Access string

// Accesses.
const (
	// Read entries and search, at most 500 entries at a time.
	Read Access = "Read"
	// Replicate: read and list everything, and on a master the log of changes.
	Replicate Access = "Replicate"
	// Write everything below the base. A slave has exactly one such account.
	Write Access = "Write"
)

// Anonymous says what a client without account may do.
type Anonymous string

// What anonymous clients may do.
const (
	AnonymousNone Anonymous = "None"
	// AnonymousByName: read an entry whose DN the client knows. Searches that
	// would have to look at more than one entry are refused, paging and filters on
	// anything but objectClass too; so only an entry that is alone below another
	// one can be found without its DN.
	AnonymousByName Anonymous = "ByName"
)

// MaxAccounts bounds Config.Accounts.
const MaxAccounts = 64

// Account of a server.
type Account struct {
	// Name is 1 to 63 of a-z, 0-9 and hyphen; AccountDN gives the bind DN.
	Name     string
	Password string
	Access   Access
}

// AccountDN is the bind DN of an account.
func AccountDN(name string) string { return "cn=" + name + "," + accountBase }

// Config of a server.
type Config struct {
	Role Role
	// Dir holds configuration, databases and log (slapd.log); absolute, made when
	// it is missing.
	Dir string
	// Address is host:port of the LDAPS listener.
	Address string
	// Base is the DN under which the directory's entries stand.
	Base string
	// CertFile and KeyFile are PEM of the listener; CAFile of who issued it.
	// Debian's slapd speaks no SM2: they are ECDSA or RSA. They are read at the
	// start, so a renewed certificate needs Stop and Start.
	CertFile, KeyFile, CAFile string
	Accounts                  []Account
	// Anonymous is None when empty.
	Anonymous Anonymous
	// MasterURL is where a slave refers other writers, e.g. ldaps://master:636/.
	MasterURL string
	// MaxSize bounds the database in bytes; 64 GiB when zero, for ten million
	// entries. It is address space, not disk space that is taken.
	MaxSize int64
	// LogKeep is for how long a master keeps its log of changes, so how long a
	// slave may be down without a full comparison; 7 days when zero.
	LogKeep time.Duration
}

const (
	defaultMaxSize = 64 << 30
	defaultLogKeep = 7 * 24 * time.Hour
)

// withDefaults checks a configuration.
func (c Config) withDefaults() (Config, error) {
	if c.Anonymous == "" {
		c.Anonymous = AnonymousNone
	}
	if c.MaxSize == 0 {
		c.MaxSize = defaultMaxSize
	}
	if c.LogKeep == 0 {
		c.LogKeep = defaultLogKeep
	}
	host, _, err := net.SplitHostPort(c.Address)
	switch {
	case c.Role != Master && c.Role != Slave:
		return c, fmt.Errorf("role %q: want %s or %s", c.Role, Master, Slave)
	case !filepath.IsAbs(c.Dir):
		return c, fmt.Errorf("dir %q: is not absolute", c.Dir)
	case err != nil || host == "":
		return c, fmt.Errorf("address %q: want host:port", c.Address)
	case c.Anonymous != AnonymousNone && c.Anonymous != AnonymousByName:
		return c, fmt.Errorf("anonymous %q: want %s or %s", c.Anonymous, AnonymousNone, AnonymousByName)
	case c.MaxSize < 1<<20:
		return c, fmt.Errorf("max size %d: want at least 1 MiB", c.MaxSize)
	case c.LogKeep < time.Hour || c.LogKeep > 90*24*time.Hour:
		return c, fmt.Errorf("log keep %v: want 1 hour to 90 days", c.LogKeep)
	}
	if _, err := directory.NormalizeDN(c.Base); err != nil {
		return c, fmt.Errorf("base: %w", err)
	}
	for _, v := range []string{c.Dir, c.Address, c.Base, c.CertFile, c.KeyFile, c.CAFile, c.MasterURL} {
		if strings.ContainsFunc(v, unicode.IsControl) {
			return c, errors.New("a value has a control character")
		}
	}
	if c.Role == Slave {
		if u, err := url.Parse(c.MasterURL); err != nil || u.Scheme != "ldaps" || u.Host == "" {
			return c, fmt.Errorf("master URL %q: want ldaps://host:port/", c.MasterURL)
		}
	}
	return c, c.checkAccounts()
}

func (c Config) checkAccounts() error {
	if len(c.Accounts) > MaxAccounts {
		return fmt.Errorf("accounts: has %d, at most %d are allowed", len(c.Accounts), MaxAccounts)
	}
	for i, a := range c.Accounts {
		switch {
		case a.Name == "" || len(a.Name) > 63 || strings.Trim(a.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
			return fmt.Errorf("account %.63q: name: want 1 to 63 of a-z, 0-9 and hyphen", a.Name)
		case a.Password == "" || len(a.Password) > 256:
			return fmt.Errorf("account %s: password: want 1 to 256 bytes", a.Name)
		case a.Access != Read && a.Access != Replicate && a.Access != Write:
			return fmt.Errorf("account %s: access %q: want %s, %s or %s", a.Name, a.Access, Read, Replicate, Write)
		case slices.ContainsFunc(c.Accounts[:i], func(b Account) bool { return a.Name == b.Name }):
			return fmt.Errorf("account %s: is there twice", a.Name)
		}
	}
	if n := len(c.named(Write)); c.Role == Slave && n != 1 {
		return fmt.Errorf("accounts: a slave has one account with access %s, the pusher's; got %d", Write, n)
	}
	return nil
}

// named returns the accounts with an access.
func (c Config) named(access Access) []Account {
	var some []Account
	for _, a := range c.Accounts {
		if a.Access == access {
			some = append(some, a)
		}
	}
	return some
}
