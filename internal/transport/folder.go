package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/terrace-pki/terrace/internal/transport/reload"
)

// Errors that a handshake ends with, for errors.Is.
var (
	// ErrNotTrusted: the peer's certificate is of no CA in ca.crt, or has ended.
	ErrNotTrusted = errors.New("peer's certificate is not trusted")
	// ErrWrongPeer: the peer is another process than those expected.
	ErrWrongPeer = errors.New("peer is another process")
)

// Folder is the TLS identity of this process: tls.crt, tls.key and ca.crt in
// one directory, a mounted Secret or one that EnsureFolders keeps. They are read
// again when they are replaced; connections that are open go on.
//
// All methods may be used concurrently.
type Folder struct {
	dir   string
	now   func() time.Time
	files *reload.Files[*identity]
}

type identity struct {
	cert  tls.Certificate
	roots *x509.CertPool
}

// OpenFolder reads the folder, or says which file is wrong and what to do.
func OpenFolder(dir string) (*Folder, error) { return OpenFolderAt(dir, time.Now) }

// OpenFolderAt is OpenFolder with a clock.
func OpenFolderAt(dir string, now func() time.Time) (*Folder, error) {
	files, err := reload.Open(func() (*identity, error) { return readIdentity(dir) },
		filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile), filepath.Join(dir, CAFile))
	if err != nil {
		return nil, err
	}
	f := &Folder{dir: dir, now: now, files: files}
	if err := f.Check(); err != nil {
		return nil, err
	}
	return f, nil
}

func readIdentity(dir string) (*identity, error) {
	bad := func(name, format string, args ...any) error {
		return fmt.Errorf("read transport certificate: %s: %w", filepath.Join(dir, name), fmt.Errorf(format, args...))
	}
	const cure = "; have the transport certificates of this process made again, and see that its user may read the folder"
	content := map[string][]byte{}
	for _, name := range []string{CertFile, KeyFile, CAFile} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("read transport certificate: %w%s", err, cure)
		}
		content[name] = b
	}
	certs, err := parseCertificates(content[CertFile])
	if err != nil {
		return nil, bad(CertFile, "%w%s", err, cure)
	}
	key, err := parseKey(content[KeyFile])
	if err != nil {
		return nil, bad(KeyFile, "%w%s", err, cure)
	}
	if !key.PublicKey.Equal(certs[0].PublicKey) {
		return nil, bad(KeyFile, "is not the key of %s; the two are replaced together, wait some seconds%s", CertFile, cure)
	}
	cas, err := parseCertificates(content[CAFile])
	if err != nil {
		return nil, bad(CAFile, "%w%s", err, cure)
	}
	if err := (Process{Name: certs[0].Subject.CommonName}).Validate(); err != nil {
		return nil, bad(CertFile, "%w", err)
	}
	id := &identity{roots: x509.NewCertPool(), cert: tls.Certificate{PrivateKey: key, Leaf: certs[0]}}
	for _, c := range certs {
		id.cert.Certificate = append(id.cert.Certificate, c.Raw)
	}
	for _, c := range cas {
		id.roots.AddCert(c)
	}
	return id, nil
}

// Name is the process's own name: the common name of its certificate.
func (f *Folder) Name() string { return f.files.Get().cert.Leaf.Subject.CommonName }

// NotAfter is when the certificate that is in use now ends.
func (f *Folder) NotAfter() time.Time { return f.files.Get().cert.Leaf.NotAfter }

// Check says, for readiness, why the identity cannot be used or will not be for
// long: the files were replaced by something unreadable, or the certificate is
// not valid now.
func (f *Folder) Check() error {
	leaf := f.files.Get().cert.Leaf
	if now := f.now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("transport certificate %s: is valid from %s to %s and it is now %s; renew it, or set the clock",
			filepath.Join(f.dir, CertFile), leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return f.files.Err()
}

// ServerTLS is the configuration of a server that talks to the named processes
// alone: TLS 1.3, mutual.
func (f *Folder) ServerTLS(peers ...string) *tls.Config {
	allowed := slices.Clone(peers)
	return f.serverTLS(func(name string) error {
		if slices.Contains(allowed, name) {
			return nil
		}
		return fmt.Errorf("%w: is %.64q, want %s", ErrWrongPeer, name, strings.Join(allowed, " or "))
	})
}

// ServerTLSFor is ServerTLS with a list that may change.
func (f *Folder) ServerTLSFor(allowed func(name string) bool) *tls.Config {
	return f.serverTLS(func(name string) error {
		if allowed(name) {
			return nil
		}
		return fmt.Errorf("%w: is %.64q, which may not call this one; add it to the peers file", ErrWrongPeer, name)
	})
}

func (f *Folder) serverTLS(allowed func(string) error) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
		// Asked for here and judged below, where ca.crt is the one of this moment.
		ClientAuth: tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &f.files.Get().cert, nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			return f.verify(s, x509.ExtKeyUsageClientAuth, allowed)
		},
		// A resumed session would skip nothing, for VerifyConnection runs, but
		// tickets outlive a rotation and save nothing on links that stay open.
		SessionTicketsDisabled: true,
		Time:                   f.now,
	}
	return c
}

// ClientTLS is the configuration of a client that talks to one process: TLS 1.3,
// mutual. The server is known by its name and not by its host, for the name is
// what the transport CA vouches for; a server may move.
func (f *Folder) ClientTLS(server string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Go's own check is of the host and of a fixed pool; VerifyConnection makes
		// the stricter one, and the handshake fails without it.
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &f.files.Get().cert, nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			return f.verify(s, x509.ExtKeyUsageServerAuth, func(name string) error {
				if name == server {
					return nil
				}
				return fmt.Errorf("%w: is %.64q, want %s; check the address", ErrWrongPeer, name, server)
			})
		},
		Time: f.now,
	}
}

func (f *Folder) verify(s tls.ConnectionState, usage x509.ExtKeyUsage, allowed func(string) error) error {
	if len(s.PeerCertificates) == 0 {
		return fmt.Errorf("%w: it sent none", ErrNotTrusted)
	}
	leaf := s.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:         f.files.Get().roots,
		Intermediates: x509.NewCertPool(), // none: nil would not mean the system's, but be plain
		CurrentTime:   f.now(),
		KeyUsages:     []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return fmt.Errorf("%w: %.64q: %w (trusted are the CAs in %s)", ErrNotTrusted, leaf.Subject.CommonName, err, filepath.Join(f.dir, CAFile))
	}
	return allowed(leaf.Subject.CommonName)
}
