package zones

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/test/interop"
)

// holds says whether a directory server has the same DER.
func (tr *tier) holds(from, server string, leaf []byte) error {
	cert, err := pki.ParseCertificatePEM(leaf)
	if err != nil {
		return err
	}
	found, err := tr.ldapsearch(from, server, "(serialNumber="+string(pki.SerialFromInt(cert.SerialNumber))+")")
	if err != nil {
		return err
	}
	if len(found) != 1 || !bytes.Equal(found[0], cert.Raw) {
		return fmt.Errorf("%s has %d certificates for serial %s; want the one that was issued, byte by byte", server, len(found), cert.SerialNumber.Text(16))
	}
	return nil
}

func (tr *tier) checkDirectory(t *testing.T, leaf []byte) {
	t.Helper()
	// Nobody but ca and pusher reaches the master: it is asked on its own host.
	tr.eventually("master holds the certificate", func() error { return tr.holds("master", "master", leaf) })
	for _, slave := range slaveHosts {
		tr.eventually(slave+" holds the certificate", func() error { return tr.holds("outside", slave, leaf) })
	}
}

// validation is a client outside for which the logical name in certificates
// leads to one node.
func (tr *tier) validation(host, rawURL string) (*http.Client, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return tr.client("outside", map[string]string{net.JoinHostPort(u.Hostname(), port): tr.net.Address(host) + ":8080"}), nil
}

// checkOCSP asks every node as OpenSSL does and has BouncyCastle judge the answer.
func (tr *tier) checkOCSP(t *testing.T, leaf, issuer []byte, want string) {
	t.Helper()
	cert, err := pki.ParseCertificatePEM(leaf)
	if err != nil {
		t.Fatal(err)
	}
	request, err := interop.OCSPRequest(issuer, leaf, "sm3", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range validationHosts {
		tr.eventually(host+" answers "+want, func() error {
			c, err := tr.validation(host, cert.OCSPServer[0])
			if err != nil {
				return err
			}
			resp, err := c.Post(cert.OCSPServer[0], "application/ocsp-request", bytes.NewReader(request))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			if err != nil {
				return err
			}
			got, err := interop.BouncyOCSP(issuer, leaf, request, body)
			if err == nil && got != want {
				err = fmt.Errorf("it answers %q", got)
			}
			return err
		})
	}
}

// checkCRL fetches the list from every node, which must name the certificate.
func (tr *tier) checkCRL(t *testing.T, leaf, issuer []byte) {
	t.Helper()
	cert, err := pki.ParseCertificatePEM(leaf)
	if err != nil {
		t.Fatal(err)
	}
	point := cert.CRLDistributionPoints[0]
	for _, host := range validationHosts {
		tr.eventually(host+" has the list", func() error {
			c, err := tr.validation(host, point)
			if err != nil {
				return err
			}
			resp, err := c.Get(point)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			der, err := io.ReadAll(io.LimitReader(resp.Body, 32<<20))
			if err != nil || resp.StatusCode != http.StatusOK {
				return fmt.Errorf("GET %s: %s, %v", point, resp.Status, err)
			}
			if err := interop.VerifyCRL(issuer, der); err != nil {
				return err
			}
			list, err := smx509.ParseRevocationList(der)
			if err != nil {
				return err
			}
			for _, e := range list.RevokedCertificateEntries {
				if e.SerialNumber.Cmp(cert.SerialNumber) == 0 {
					return nil
				}
			}
			return fmt.Errorf("list %v has %d entries and not serial %s", list.Number, len(list.RevokedCertificateEntries), cert.SerialNumber.Text(16))
		})
	}
}
