package controlplane

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/terrace-pki/terrace/internal/atomicfile"
)

// serverFiles are the files that the API server reads; all paths.
type serverFiles struct {
	clientCA          string
	cert, key         string
	serviceAccountKey string
	encryption        string
}

// writeServerFiles makes a new serving certificate, and what else is missing.
func writeServerFiles(s settings, ca *authority) (serverFiles, error) {
	pki := s.path(pkiDir)
	f := serverFiles{
		clientCA:          filepath.Join(pki, "ca.crt"),
		cert:              filepath.Join(pki, "apiserver.crt"),
		key:               filepath.Join(pki, "apiserver.key"),
		serviceAccountKey: filepath.Join(pki, "sa.key"),
		encryption:        s.path(encryptionFile),
	}
	certPEM, keyPEM, err := ca.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		IPAddresses: []net.IP{s.ip.AsSlice(), net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default.svc"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return f, fmt.Errorf("serving certificate: %w", err)
	}
	if err := atomicfile.Write(f.key, keyPEM, 0o600); err != nil {
		return f, fmt.Errorf("serving certificate: %w", err)
	}
	if err := atomicfile.Write(f.cert, certPEM, 0o644); err != nil {
		return f, fmt.Errorf("serving certificate: %w", err)
	}
	if err := keepServiceAccountKey(f.serviceAccountKey); err != nil {
		return f, fmt.Errorf("service account key: %w", err)
	}
	if err := keepEncryptionKey(s, f.encryption); err != nil {
		return f, fmt.Errorf("encryption of Secrets: %w", err)
	}
	return f, nil
}

// keepServiceAccountKey makes the key that signs service account tokens, unless
// there is one: tokens of an earlier run stay valid.
func keepServiceAccountKey(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	return atomicfile.Write(path, keyPEM, 0o600)
}

// There is no identity provider: a Secret that someone put into etcd in clear
// is refused, not served.
const encryptionConfiguration = `# Encrypts the Secrets in etcd. Without this file they cannot be read again.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  providers:
  - secretbox:
      keys:
      - name: key-1
        secret: "%s"
`

// keepEncryptionKey makes the EncryptionConfiguration with a new secretbox key
// (XSalsa20-Poly1305, 32 bytes), unless there is one. A store whose key was lost
// is refused: a new key would leave every Secret in it unreadable.
func keepEncryptionKey(s settings, path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	exists, err := hasObjects(s)
	if err != nil {
		return err
	}
	if exists {
		return fmt.Errorf("%s is missing, and etcd holds Secrets that only its key opens: restore the file, "+
			"or remove %s to start with an empty store", path, s.path(etcdDir))
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	text := fmt.Sprintf(encryptionConfiguration, base64.StdEncoding.EncodeToString(key))
	return atomicfile.Write(path, []byte(text), 0o600)
}
