// Package transport gives each process of Terrace its TLS identity.
//
// crypto/tls and Debian's slapd know no SM2, so links are TLS 1.3 with ECDSA
// P-256 certificates of a transport CA that Terrace makes and renews itself. It
// stands apart from the SM2 tiers and vouches for nothing but "this is the
// process of that name"; what a message may bring about is decided by its SM2
// signature (package link).
//
// [Ensure] decides what is due and makes it, without touching a disk or an API
// server: the manager keeps the result in Secrets, [EnsureFolders] in folders.
// [Folder] is the other side, a process that reads its own.
package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"regexp"
	"strings"
	"time"
)

// Lives of what is issued.
const (
	AuthorityLife = 5 * 365 * 24 * time.Hour
	LeafLife      = 90 * 24 * time.Hour
	// Backdate is how far before now a certificate begins, for the clocks of others.
	Backdate = 5 * time.Minute
)

// Process is whom a leaf is issued to.
type Process struct {
	// Name is the common name, and the name in the peers files: "ca", "ra",
	// "validation-public-1". Lower case letters, digits, '-' and '.', at most 63.
	Name string
	// Hosts are the DNS names and IP addresses it is reached under, at most 32.
	// None are needed: peers check the name.
	Hosts []string
}

var (
	processName = regexp.MustCompile(`^[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?$`)
	dnsName     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$`)
)

const maxHosts = 32

// Validate says what is wrong with the name or a host.
func (p Process) Validate() error {
	if !processName.MatchString(p.Name) || strings.Contains(p.Name, "..") {
		return fmt.Errorf("process name %.80q: want at most 63 lower case letters, digits, '-' and '.', with a letter or digit at both ends", p.Name)
	}
	if len(p.Hosts) > maxHosts {
		return fmt.Errorf("process %q: has %d hosts, at most %d are allowed", p.Name, len(p.Hosts), maxHosts)
	}
	for _, h := range p.Hosts {
		if net.ParseIP(h) == nil && (!dnsName.MatchString(h) || len(h) > 253) {
			return fmt.Errorf("process %q: host %.80q: is neither an IP address nor a DNS name in lower case", p.Name, h)
		}
	}
	return nil
}

// Authority is a transport CA: one self-signed ECDSA P-256 certificate and its key.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes a transport CA that begins Backdate before now and lives
// for AuthorityLife.
func NewAuthority(now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make transport CA: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		// The second of birth keeps two generations apart for whoever reads a bundle.
		Subject:               pkix.Name{CommonName: "Terrace transport CA " + now.UTC().Format("20060102150405")},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(AuthorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make transport CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make transport CA: %w", err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// ParseAuthority reads what PEM wrote.
func ParseAuthority(cert, key []byte) (*Authority, error) {
	certs, err := parseCertificates(cert)
	if err != nil {
		return nil, fmt.Errorf("read transport CA: certificate: %w", err)
	}
	k, err := parseKey(key)
	if err != nil {
		return nil, fmt.Errorf("read transport CA: key: %w", err)
	}
	switch c := certs[0]; {
	case len(certs) != 1:
		return nil, fmt.Errorf("read transport CA: has %d certificates, want one", len(certs))
	case !c.IsCA:
		return nil, errors.New("read transport CA: the certificate is not one of a CA")
	case !k.PublicKey.Equal(c.PublicKey):
		return nil, errors.New("read transport CA: the key is not the one in the certificate")
	}
	return &Authority{cert: certs[0], key: k}, nil
}

// PEM writes the certificate and the key (PKCS#8). The key must be kept secret.
func (a *Authority) PEM() (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("write transport CA: %w", err)
	}
	return encodeCertificate(a.cert.Raw), encodeKey(der), nil
}

// Issue makes a new key and its certificate for a process: client and server
// authentication, LeafLife from now but never beyond the CA's own end.
func (a *Authority) Issue(now time.Time, p Process) (cert, key []byte, err error) {
	if err := p.Validate(); err != nil {
		return nil, nil, fmt.Errorf("issue transport certificate: %w", err)
	}
	if !now.Before(a.cert.NotAfter) {
		return nil, nil, fmt.Errorf("issue transport certificate for %q: the transport CA ended at %s", p.Name, a.cert.NotAfter.Format(time.RFC3339))
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("issue transport certificate for %q: %w", p.Name, err)
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: p.Name},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(LeafLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	template.DNSNames, template.IPAddresses = p.split()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue transport certificate for %q: %w", p.Name, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, fmt.Errorf("issue transport certificate for %q: %w", p.Name, err)
	}
	return encodeCertificate(der), encodeKey(keyDER), nil
}

func (p Process) split() (dns []string, ips []net.IP) {
	for _, h := range p.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			ips = append(ips, ip)
		} else {
			dns = append(dns, h)
		}
	}
	return dns, ips
}

// newSerial is 127 random bits: positive, and never met twice.
func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	b[0] &= 0x7f
	b[0] |= 0x40
	return new(big.Int).SetBytes(b[:])
}

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"

	maxPEM    = 64 << 10 // bytes of a file
	maxBundle = 8        // certificates in ca.crt
)

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der})
}

func encodeKey(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der})
}

// parseCertificates reads 1 to maxBundle certificates.
func parseCertificates(b []byte) ([]*x509.Certificate, error) {
	if len(b) > maxPEM {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(b), maxPEM)
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if block.Type != pemCertificate {
			return nil, fmt.Errorf("holds a PEM block %.40q, want %q", block.Type, pemCertificate)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if certs = append(certs, cert); len(certs) > maxBundle {
			return nil, fmt.Errorf("holds more than %d certificates", maxBundle)
		}
	}
	if len(certs) == 0 {
		return nil, errors.New("holds no PEM block \"" + pemCertificate + "\"")
	}
	return certs, nil
}

// parseKey reads a P-256 key; its bytes are no part of an error.
func parseKey(b []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemKey {
		return nil, errors.New("holds no PEM block \"" + pemKey + "\"")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("is no PKCS#8 key")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("is not an ECDSA P-256 key")
	}
	return key, nil
}
