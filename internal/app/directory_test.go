package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/terrace-pki/terrace/internal/publishing"
)

// A bind password goes to the named host alone, also where the name is an IP address.
func TestDirectoryServerIsTheNamedHost(t *testing.T) {
	for name, test := range map[string]struct {
		host string
		dns  []string
		ips  []net.IP
		want bool // the password is sent
	}{
		"DNS name":             {"localhost", []string{"localhost"}, nil, true},
		"another's DNS name":   {"localhost", []string{"slave.example.cn"}, nil, false},
		"IP address":           {"127.0.0.1", nil, []net.IP{{127, 0, 0, 1}}, true},
		"another's IP address": {"127.0.0.1", nil, []net.IP{{127, 0, 0, 2}}, false},
		"IP, but a DNS name":   {"127.0.0.1", []string{"slave.example.cn"}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			address, bundle, got := listenTLS(t, test.dns, test.ips)
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			c, err := openDirectory(publishing.Server{Name: "master", URL: "ldaps://" + net.JoinHostPort(test.host, port), BindDN: "cn=publisher", CABundle: bundle},
				false, "", func() ([]byte, error) { return []byte("secret"), nil })
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() { _, _ = c.Get(t.Context(), []string{"dc=cn"}); close(done) }()
			select {
			case <-got:
				if !test.want {
					t.Error("a server with another's certificate got the password")
				}
			case <-done:
				select {
				case <-got:
					if test.want {
						return
					}
					t.Error("a server with another's certificate got the password")
				case <-time.After(50 * time.Millisecond):
					if test.want {
						t.Error("the named server was refused")
					}
				}
			case <-time.After(20 * time.Second):
				t.Fatal("no connection")
			}
		})
	}
	if err := serverTLS("", nil, "").VerifyConnection(tls.ConnectionState{}); err == nil {
		t.Error("no host: verified")
	}
}

// listenTLS serves TLS with a certificate for names; got has an element when a
// client sent something.
func listenTLS(t *testing.T, dns []string, ips []net.IP) (address string, bundle []byte, got chan struct{}) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, DNSNames: dns, IPAddresses: ips}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got = make(chan struct{}, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if n, _ := c.Read(make([]byte, 512)); n > 0 {
			got <- struct{}{}
		}
		c.Close()
	}()
	return l.Addr().String(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), got
}
