package zones

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
)

// maxAnswer bounds what is read from a node.
const maxAnswer = 32 << 20

// fetch gets a URL of a certificate from one node, from outside.
func (tr *tier) fetch(host, url string) ([]byte, error) {
	c, err := tr.validation(host, url)
	if err != nil {
		return nil, err
	}
	resp, err := c.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return b, err
}

// status asks one node about a certificate, with our own parser, which is
// quick enough for many; checkOCSP has BouncyCastle judge.
func (tr *tier) status(host string, cert, ca *smx509.Certificate) (ocsp.State, error) {
	issuer, err := ocsp.NewIssuer(ca)
	if err != nil {
		return ocsp.Unknown, err
	}
	id, err := issuer.CertID(ocsp.SM3, pki.SerialFromInt(cert.SerialNumber))
	if err != nil {
		return ocsp.Unknown, err
	}
	request, err := ocsp.MarshalRequest(nil, id)
	if err != nil {
		return ocsp.Unknown, err
	}
	url := cert.OCSPServer[0]
	c, err := tr.validation(host, url)
	if err != nil {
		return ocsp.Unknown, err
	}
	resp, err := c.Post(url, "application/ocsp-request", bytes.NewReader(request))
	if err != nil {
		return ocsp.Unknown, err
	}
	defer resp.Body.Close()
	der, err := io.ReadAll(io.LimitReader(resp.Body, ocsp.MaxResponse))
	if err != nil {
		return ocsp.Unknown, err
	}
	r, err := ocsp.ParseResponse(der, ca, time.Now())
	if err != nil {
		return ocsp.Unknown, err
	}
	if len(r.Responses) != 1 {
		return ocsp.Unknown, fmt.Errorf("OCSP status %v with %d answers", r.Status, len(r.Responses))
	}
	return r.Responses[0].State, nil
}
