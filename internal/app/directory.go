package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	directorycontroller "github.com/terrace-pki/terrace/controllers/directory"
	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/directory/ldap"
	"github.com/terrace-pki/terrace/internal/publishing"
	"github.com/terrace-pki/terrace/internal/pushing"
)

// directoryLog is where slapd's accesslog overlay keeps the master's changes.
const directoryLog = "cn=log"

// maxCAFile bounds a file of CA certificates, in bytes.
const maxCAFile = 1 << 20

// directoryServers is how a process reaches LDAP servers.
type directoryServers struct {
	caFile    string
	passwords *publishing.Passwords
	metrics   *publishing.Metrics
}

// newDirectoryServers trusts the PEM certificates of caFile where a server has
// no caBundle; the file is read at each connection, so that it can be replaced.
// passwordDir stands in for the Secrets when the API server is away. Both may be empty.
func newDirectoryServers(caFile, passwordDir string) *directoryServers {
	return &directoryServers{caFile: caFile, passwords: publishing.NewPasswords(passwordDir), metrics: publishing.NewMetrics(metrics.Registry)}
}

// open implements publishing.Opener.
func (d *directoryServers) open(s publishing.Server, withLog bool) (publishing.Connection, error) {
	return openDirectory(s, withLog, d.caFile, func() ([]byte, error) { return d.passwords.Get(s.Password) })
}

// check says whether caFile can be used.
func (d *directoryServers) check(context.Context) error {
	if d.caFile == "" {
		return nil
	}
	_, err := readPool(d.caFile)
	return err
}

// OpenDirectory makes the connection of a command to an LDAP server, with the
// password in a file.
func OpenDirectory(url, bindDN, passwordFile, caFile string, withLog bool) (publishing.Connection, error) {
	return openDirectory(publishing.Server{Name: url, URL: url, BindDN: bindDN}, withLog, caFile,
		func() ([]byte, error) { return publishing.ReadPassword(passwordFile) })
}

func openDirectory(s publishing.Server, withLog bool, caFile string, password func() ([]byte, error)) (publishing.Connection, error) {
	address, err := s.Address()
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	c := ldap.Config{Address: address, TLS: serverTLS(host, s.CABundle, caFile),
		Credentials: func(context.Context) (string, string, error) {
			p, err := password()
			return s.BindDN, string(p), err
		}}
	if withLog {
		c.LogBase = directoryLog
	}
	return ldap.New(c)
}

// serverTLS verifies a server as usual, but against certificates that are read
// anew for each connection. host, a DNS name or an IP address, must be in the
// server's certificate. The connection's own ServerName is no measure: it is
// empty where the host is an IP address, which is not sent (RFC 6066 §3).
func serverTLS(host string, bundle []byte, caFile string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection makes the same check; the handshake fails without it
		VerifyConnection: func(s tls.ConnectionState) error {
			if host == "" { // would match every certificate
				return errors.New("the server's certificate cannot be verified: its URL names no host")
			}
			pool, err := poolOf(bundle, caFile)
			if err != nil {
				return err
			}
			if len(s.PeerCertificates) == 0 {
				return errors.New("the server sent no certificate")
			}
			between := x509.NewCertPool()
			for _, c := range s.PeerCertificates[1:] {
				between.AddCert(c)
			}
			_, err = s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, DNSName: strings.TrimSuffix(host, ".")})
			return err
		},
	}
}

func poolOf(bundle []byte, caFile string) (*x509.CertPool, error) {
	if len(bundle) == 0 {
		if caFile == "" {
			return nil, errors.New("the server's certificate cannot be verified: give the server a caBundle, or the process a file of CA certificates")
		}
		return readPool(caFile)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, errors.New("caBundle: holds no PEM certificate")
	}
	return pool, nil
}

func readPool(path string) (*x509.CertPool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxCAFile {
		return nil, fmt.Errorf("%s: has %d bytes, at most %d are allowed", path, info.Size(), maxCAFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s: holds no PEM certificate", path)
	}
	return pool, nil
}

// SeedDirectory writes all that a directory is to hold by the ledger as LDIF,
// for a new master. It reads the ledger, which may be in use.
func SeedDirectory(ctx context.Context, ledgerDSN, id string, w io.Writer) (n int64, err error) {
	store, err := ReadLedger(ctx, ledgerDSN)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	entries, err := publishing.Entries(ctx, store, id)
	if err != nil {
		return 0, err
	}
	return directory.WriteLDIF(ctx, w, entries)
}

// publishingPart writes the LDAP masters from the ledger.
type publishingPart struct {
	service *publishing.Service
	servers *directoryServers
	load    func() error
}

// newPublishing knows no directories until load is called, once this process leads:
// those that it knew before may be gone by then.
func newPublishing(ctx context.Context, k *core, d *directoryServers) *publishingPart {
	s := publishing.New(publishing.Config{Store: k.store, Changed: k.authorities.Changed, Open: d.open, Metrics: d.metrics})
	return &publishingPart{s, d, sync.OnceValue(func() error { return s.Load(ctx) })}
}

func (p *publishingPart) setup(mgr ctrl.Manager) error {
	return (&directorycontroller.Master{Client: mgr.GetClient(), Publishing: p.service, Passwords: p.servers.passwords, Now: time.Now}).SetupWithManager(mgr)
}

func (p *publishingPart) services(log logr.Logger) []func(context.Context) error {
	return []service{func(ctx context.Context) error {
		if err := p.load(); err != nil {
			return err
		}
		return p.service.Run(ctx, log.WithName("publishing"))
	}}
}

// pushingPart writes the slaves from the LDAP masters.
type pushingPart struct {
	service      *pushing.Service
	servers      *directoryServers
	watchSecrets bool
}

// newPushing keeps its state below stateDir. watchSecrets says whether the
// process may watch Secrets, or only get those it knows by name.
func newPushing(stateDir string, d *directoryServers, watchSecrets bool) (*pushingPart, error) {
	s, err := pushing.Open(pushing.Config{Dir: stateDir, Open: d.open, Metrics: d.metrics})
	if err != nil {
		return nil, fmt.Errorf("--state-dir: %w", err)
	}
	return &pushingPart{s, d, watchSecrets}, nil
}

func (p *pushingPart) setup(mgr ctrl.Manager) error {
	return (&directorycontroller.Slaves{Client: mgr.GetClient(), Pushing: p.service, Passwords: p.servers.passwords, Now: time.Now,
		WatchSecrets: p.watchSecrets}).SetupWithManager(mgr)
}

func (p *pushingPart) services(log logr.Logger) []func(context.Context) error {
	return []func(context.Context) error{func(ctx context.Context) error { return p.service.Run(ctx, log.WithName("pushing")) }}
}
