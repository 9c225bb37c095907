// Package slapdtest starts slapd for tests, in a folder and with a transport CA
// of the test's own. It fails, rather than skips, when slapd is not installed.
package slapdtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/directory/ldap"
	"github.com/terrace-pki/terrace/directory/slapd"
)

// Base of the servers.
const Base = "dc=example,dc=cn"

// Accounts of every server; the password is the name.
const (
	Writer     = "writer" // publisher on a master, pusher on a slave
	Replicator = "replicator"
	Reader     = "reader"
	Operator   = "operator" // writes on a master too
)

// Server is a running slapd.
type Server struct {
	Config  slapd.Config
	Process *slapd.Process
	pool    *x509.CertPool
}

// Start starts a server; change, unless nil, alters its configuration.
func Start(t testing.TB, role slapd.Role, change func(*slapd.Config)) *Server {
	t.Helper()
	s := New(t, role, change)
	s.Restart(t)
	return s
}

// New makes a server that is not running yet.
func New(t testing.TB, role slapd.Role, change func(*slapd.Config)) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{pool: x509.NewCertPool(), Config: slapd.Config{
		Role:     role,
		Dir:      filepath.Join(dir, "slapd"),
		Address:  freeAddress(t),
		Base:     Base,
		CertFile: filepath.Join(dir, "tls.crt"),
		KeyFile:  filepath.Join(dir, "tls.key"),
		CAFile:   filepath.Join(dir, "ca.crt"),
		MaxSize:  1 << 30,
		Accounts: []slapd.Account{
			{Name: Writer, Password: Writer, Access: slapd.Write},
			{Name: Replicator, Password: Replicator, Access: slapd.Replicate},
			{Name: Reader, Password: Reader, Access: slapd.Read},
		},
	}}
	if role == slapd.Master {
		s.Config.Accounts = append(s.Config.Accounts, slapd.Account{Name: Operator, Password: Operator, Access: slapd.Write})
	} else {
		s.Config.MasterURL = "ldaps://master.example.cn/"
	}
	if change != nil {
		change(&s.Config)
	}
	s.writeCertificates(t)
	t.Cleanup(func() { s.Stop(t) })
	return s
}

// Restart starts a server that was stopped, on the same address and folder.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	p, err := slapd.Start(context.Background(), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	s.Process = p
}

// Empty starts the server anew with nothing in it, as after the loss of its disk.
func (s *Server) Empty(t testing.TB) {
	t.Helper()
	s.Stop(t)
	if err := os.RemoveAll(s.Config.Dir); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
}

// Stop stops the server if it runs.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if s.Process == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Process.Stop(ctx); err != nil {
		t.Error(err)
	}
	s.Process = nil
}

// Kill ends the server as a crash does (SIGKILL).
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Config.Dir, "slapd.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Process.Done()
	s.Process = nil
}

// Client connects with an account, whose password is its name unless password
// says otherwise; "" is anonymous.
func (s *Server) Client(t testing.TB, account string, password ...string) *ldap.Server {
	t.Helper()
	c := ldap.Config{
		Address: s.Config.Address,
		TLS:     &tls.Config{RootCAs: s.pool},
		Timeout: 20 * time.Second,
		Credentials: func(context.Context) (string, string, error) {
			switch {
			case account == "":
				return "", "", nil
			case len(password) > 0:
				return slapd.AccountDN(account), password[0], nil
			}
			return slapd.AccountDN(account), account, nil
		},
	}
	if s.Config.Role == slapd.Master && account == Replicator {
		c.LogBase = slapd.LogBase
	}
	client, err := ldap.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// writeCertificates makes an ECDSA CA and a certificate for 127.0.0.1.
func (s *Server) writeCertificates(t testing.TB) {
	t.Helper()
	now := time.Now()
	caKey, ca := issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "transport CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	key, cert := issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "slapd"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, ca, caKey)
	s.pool.AddCert(ca)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		s.Config.CAFile:   {Type: "CERTIFICATE", Bytes: ca.Raw},
		s.Config.CertFile: {Type: "CERTIFICATE", Bytes: cert.Raw},
		s.Config.KeyFile:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func issue(t testing.TB, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}
