// Package publishing brings what the ledger says into the directories' LDAP
// masters (发布). It runs from the specs that the ledger keeps, not from the API
// server: each directory follows the ledger's feed, remembers in the ledger how
// far it came, and compares master and ledger in full from time to time.
package publishing

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/terrace-pki/terrace/directory"
)

// kind of the accepted specs.
const kind = "Directory"

// Bounds of a Spec.
const (
	minVerifyInterval = time.Second
	maxSlaves         = 16
)

// Spec is what the processes beside master and ledger know of one Directory
// when the API server is away. It holds no password.
type Spec struct {
	Namespace string             `json:"namespace"`
	Name      string             `json:"name"`
	Base      string             `json:"base"`
	Naming    directory.Naming   `json:"naming"`
	Audience  directory.Audience `json:"audience"`
	Master    Server             `json:"master"`
	// Slaves are known to the pusher alone.
	Slaves []Server `json:"slaves,omitempty"`
	// VerifyInterval between two full comparisons.
	VerifyInterval time.Duration `json:"verifyInterval"`
	// Retired: the object is gone and another Directory has its place; nothing is
	// published any more. The ledger forgets nothing, so the fact is one too.
	Retired bool `json:"retired,omitempty"`
}

// ID is "namespace/name".
func (s Spec) ID() string { return s.Namespace + "/" + s.Name }

func (s Spec) acceptedName() string { return kind + "/" + s.ID() }

// Layout of the directory's entries.
func (s Spec) Layout() (*directory.Layout, error) {
	return directory.NewLayout(directory.LayoutConfig{Base: s.Base, Naming: s.Naming, Audience: s.Audience})
}

// Validate says what of a spec cannot work.
func (s Spec) Validate() error {
	if s.Namespace == "" || s.Name == "" {
		return errors.New("directory: namespace and name are required")
	}
	if _, err := s.Layout(); err != nil {
		return err
	}
	if s.VerifyInterval < minVerifyInterval {
		return fmt.Errorf("directory %s: verify interval %s: want at least %s", s.ID(), s.VerifyInterval, minVerifyInterval)
	}
	if len(s.Slaves) > maxSlaves {
		return fmt.Errorf("directory %s: has %d slaves, at most %d are allowed", s.ID(), len(s.Slaves), maxSlaves)
	}
	names := map[string]bool{}
	for _, server := range append([]Server{s.Master}, s.Slaves...) {
		if _, err := server.Address(); err != nil {
			return fmt.Errorf("directory %s: server %q: %w", s.ID(), server.Name, err)
		}
		if names[server.Name] {
			return fmt.Errorf("directory %s: two servers are named %q; names must differ, the master's included", s.ID(), server.Name)
		}
		names[server.Name] = true
	}
	return nil
}

// Server is one LDAP server of a Directory.
type Server struct {
	// Name in status and metrics.
	Name string `json:"name"`
	// URL is ldaps://host[:port].
	URL      string      `json:"url"`
	BindDN   string      `json:"bindDN"`
	Password PasswordRef `json:"password"`
	// CABundle in PEM; empty: the CA of the process.
	CABundle []byte `json:"caBundle,omitempty"`
}

// ldapsPort is the default port of ldaps URLs.
const ldapsPort = "636"

// Address is host:port of the URL.
func (s Server) Address() (string, error) {
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "ldaps" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" {
		return "", fmt.Errorf("url %.200q: want ldaps://host[:port]", s.URL)
	}
	port := u.Port()
	if port == "" {
		port = ldapsPort
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// sameServer says whether two URLs name the same server, as far as names tell.
func (s Server) sameServer(o Server) bool {
	a, errA := s.Address()
	b, errB := o.Address()
	return errA == nil && errB == nil && strings.EqualFold(a, b)
}

// Connection is a directory server that can be closed.
type Connection interface {
	directory.Server
	Close() error
	// Connections counts the connections made; see directory.Slave.
	Connections() int64
}

// Opener makes the connection to a server; it does not dial. withLog asks for
// the server's log of changes, which a pusher reads from the master.
type Opener func(s Server, withLog bool) (Connection, error)
