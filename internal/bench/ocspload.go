package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/pki"
)

// askTime bounds one request of the load.
const askTime = 30 * time.Second

// asker asks an HTTP server for OCSP. It speaks only as much HTTP as it takes,
// so that the load leaves the cores to what is measured.
type asker struct {
	ca      *smx509.Certificate
	issuer  *ocsp.Issuer
	address string
}

func newAsker(ca *smx509.Certificate, address string) (*asker, error) {
	issuer, err := ocsp.NewIssuer(ca)
	if err != nil {
		return nil, err
	}
	return &asker{ca, issuer, address}, nil
}

// request is a whole HTTP request for one serial.
func (a *asker) request(h ocsp.Hash, nonce []byte, serial pki.Serial) ([]byte, error) {
	id, err := a.issuer.CertID(h, serial)
	if err != nil {
		return nil, err
	}
	der, err := ocsp.MarshalRequest(nonce, id)
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "POST /ocsp HTTP/1.1\r\nHost: bench\r\nContent-Type: application/ocsp-request\r\nContent-Length: %d\r\n\r\n", len(der)), der...), nil
}

// verify says whether a response is signed, and says this of a serial.
func (a *asker) verify(response []byte, serial pki.Serial, want ocsp.State) error {
	got, err := ocsp.ParseResponse(response, a.ca, time.Now())
	if err != nil {
		return err
	}
	if got.Status != ocsp.Successful || len(got.Responses) != 1 || got.Responses[0].CertID.Serial != serial || got.Responses[0].State != want {
		return fmt.Errorf("serial %s: response is %v, %v; want %v", serial, got.Status, got.Responses, want)
	}
	return nil
}

// all asks n requests by some callers at once. check, unless nil, sees each response.
func (a *asker) all(ctx context.Context, m *meter, callers, n int, request func(i int) []byte, check func(i int, response []byte) error) error {
	var next atomic.Int64
	g, running := errgroup.WithContext(ctx)
	for range min(callers, n) {
		g.Go(func() error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			defer c.close()
			for running.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					break
				}
				began := time.Now()
				response, err := c.ask(request(i))
				if err != nil {
					return fmt.Errorf("request %d: %w", i, err)
				}
				if m != nil {
					m.did(began, 1)
				}
				if check == nil {
					continue
				}
				if err := check(i, response); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return errors.Join(g.Wait(), ctx.Err())
}

// connection stays open from one request to the next.
type connection struct {
	net.Conn
	in   *bufio.Reader
	body []byte
}

func (a *asker) dial() (*connection, error) {
	c, err := net.Dial("tcp", a.address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, in: bufio.NewReaderSize(c, 8<<10)}, nil
}

func (c *connection) close() { _ = c.Close() } // nothing is left to be sent

// successful begins every OCSPResponse of more than 255 bytes that is one: the
// SEQUENCE with two octets of length, then responseStatus 0.
var successful = []byte{0x30, 0x82, 0, 0, 10, 1, 0}

// ask sends a request and returns the body, until the next call. What is not a
// successful response is an error: the bench is of answers, not of refusals.
func (c *connection) ask(request []byte) ([]byte, error) {
	if err := c.SetDeadline(time.Now().Add(askTime)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	status, length := "", -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if status == "" {
			status = string(line)
		} else if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return nil, err
			}
		} else if len(line) == 0 {
			break
		}
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200 ") || length < 0 || length > 1<<20 {
		return nil, fmt.Errorf("HTTP says %q with %d bytes", status, length)
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return nil, err
	}
	if length < len(successful) || c.body[0] != successful[0] || !bytes.Equal(c.body[4:7], successful[4:]) {
		return nil, fmt.Errorf("OCSP response is not successful: %x", c.body[:min(length, 16)])
	}
	return c.body, nil
}

// serveTrivial is the least that a Go HTTP handler can do: send bytes that are
// there, after a body that is there.
func serveTrivial(size int) (stop func(), a *asker, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	body := make([]byte, size)
	copy(body, successful)
	server := &http.Server{ReadHeaderTimeout: askTime, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/ocsp-response")
		_, _ = w.Write(body) // the caller sees it
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // until stop
	}()
	return func() { _ = server.Close(); <-done }, &asker{address: l.Addr().String()}, nil
}
