// Package ldap is a directory.Server over LDAPS, for OpenLDAP and other servers
// that keep LDAPv3.
package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/terrace-pki/terrace/directory"
)

// Bounds.
const (
	// pageSize of a Walk. A page is in memory as a whole.
	pageSize = 250
	// window is how many requests of one call are under way on a connection.
	window = 32

	defaultTimeout = 30 * time.Second
	maxTimeout     = 10 * time.Minute
	dialTimeout    = 10 * time.Second
)

// maxAnswer bounds one LDAP message, in bytes: an entry of directory.MaxEntry and room.
const maxAnswer = 2 * directory.MaxEntry

// boundAnswers bounds what a server can make us allocate by the length that it
// writes before a message: 2 GiB as the decoder comes. The bound is a variable of
// the decoder's package, read by each connection; so it is set once, before the first.
var boundAnswers = sync.OnceFunc(func() { ber.MaxPacketLengthBytes = maxAnswer })

// Config of a Server.
type Config struct {
	// Address is host:port of an LDAPS listener.
	Address string
	// TLS verifies the server: RootCAs of the transport CA. ServerName is taken
	// from Address when empty. TLS below 1.2 is never spoken.
	TLS *tls.Config
	// Credentials gives the bind DN and the password for each new connection, so
	// that they can be changed. Both empty: anonymous.
	Credentials func(ctx context.Context) (bindDN, password string, err error)
	// Timeout of each request; 30 s when zero.
	Timeout time.Duration
	// LogBase is the DN of the log that slapd's accesslog overlay writes, e.g.
	// "cn=log"; empty: Changes answers directory.ErrNoLog.
	LogBase string
}

// Server is one LDAP server. It connects when it is first used and again after
// a connection broke.
type Server struct {
	config Config

	mu          sync.Mutex // also held while connecting: one dial at a time
	conn        *ldap.Conn
	closed      bool
	connections atomic.Int64
}

var _ directory.Server = (*Server)(nil)

// New checks a configuration. It does not connect.
func New(c Config) (*Server, error) {
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil || host == "" {
		return nil, fmt.Errorf("LDAP server: address %.300q: want host:port", c.Address)
	}
	if c.TLS == nil || c.Credentials == nil {
		return nil, errors.New("LDAP server: want a TLS configuration and credentials; plain LDAP is not supported")
	}
	if c.TLS.InsecureSkipVerify && c.TLS.VerifyConnection == nil && c.TLS.VerifyPeerCertificate == nil {
		return nil, errors.New("LDAP server: TLS configuration does not verify the server; set RootCAs")
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Timeout < 0 || c.Timeout > maxTimeout {
		return nil, fmt.Errorf("LDAP server: timeout %v: want at most %v", c.Timeout, maxTimeout)
	}
	c.TLS = c.TLS.Clone()
	c.TLS.MinVersion = max(c.TLS.MinVersion, tls.VersionTLS12)
	if c.TLS.ServerName == "" {
		c.TLS.ServerName = host
	}
	boundAnswers()
	return &Server{config: c}, nil
}

// Close ends the connection; the Server cannot be used any more.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}

// connection returns the shared connection, and makes a new one when it broke.
func (s *Server) connection(ctx context.Context) (*ldap.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &classed{directory.ErrUnavailable, fmt.Errorf("LDAP server %s: was closed", s.config.Address)}
	}
	if s.conn != nil && !s.conn.IsClosing() {
		return s.conn, nil
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	s.conn = conn
	s.connections.Add(1)
	return conn, nil
}

// Connections counts the connections made for requests. One more than before
// says that the server may be another by now: restarted, with its clock set, or
// restored from a backup.
func (s *Server) Connections() int64 { return s.connections.Load() }

// dial connects and binds.
func (s *Server) dial(ctx context.Context) (*ldap.Conn, error) {
	bindDN, password, err := s.config.Credentials(ctx)
	if err != nil {
		return nil, &classed{directory.ErrCredentials, fmt.Errorf("LDAP server %s: credentials: %w", s.config.Address, err)}
	}
	if (bindDN == "") != (password == "") {
		// A DN without password would bind as anonymous (RFC 4513 §5.1.2).
		return nil, fmt.Errorf("LDAP server %s: %w: bind DN or password is empty", s.config.Address, directory.ErrCredentials)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dialer := tls.Dialer{NetDialer: &net.Dialer{}, Config: s.config.TLS}
	raw, err := dialer.DialContext(ctx, "tcp", s.config.Address)
	if err != nil {
		return nil, fmt.Errorf("LDAP server %s: %w: %w", s.config.Address, directory.ErrUnavailable, err)
	}
	conn := ldap.NewConn(raw, true)
	conn.SetTimeout(s.config.Timeout)
	conn.Start()
	if bindDN == "" {
		return conn, nil
	}
	if err := s.do(ctx, func() error { return conn.Bind(bindDN, password) }); err != nil {
		conn.Close()
		return nil, s.wrap("bind as "+bindDN, err)
	}
	return conn, nil
}

// do waits for a request until ctx ends. The request itself then goes on until
// the connection's timeout, its answer unread: other calls share the connection.
func (s *Server) do(ctx context.Context, request func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- request() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
