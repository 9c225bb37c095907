package validation

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/ocsp/ocsptest"
	"github.com/terrace-pki/terrace/internal/pki"
)

// start serves s until the test ends and returns its URL and what stops it.
func start(t *testing.T, s *Server) (url string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	stopped := false
	stop = func() error {
		cancel()
		if stopped {
			return nil
		}
		stopped = true
		select {
		case err := <-done:
			return err
		case <-time.After(20 * time.Second):
			t.Error("Serve does not end")
			return nil
		}
	}
	t.Cleanup(func() { _ = stop() })
	return "http://" + l.Addr().String(), stop
}

func set(t *testing.T, s *Server, id string, h *Handler) {
	t.Helper()
	if err := s.Set(id, h); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestServerRoutes(t *testing.T) {
	s := NewServer(ServerConfig{})
	url, _ := start(t, s)
	const file = "/ca/businessca-a-g1.cer"
	outer, inner, root := newWorld(t, "/a"), newWorld(t, "/a/b"), newWorld(t, "")
	expect := func(path string, want *world) {
		t.Helper()
		status, text := get(t, url+path)
		if want == nil && status != 404 || want != nil && (status != 200 || text != string(want.catalog.cer)) {
			t.Errorf("%s: status %d, %d bytes", path, status, len(text))
		}
	}
	expect("/a"+file, nil)
	set(t, s, "t/outer", outer.handler)
	set(t, s, "t/inner", inner.handler)
	expect("/a"+file, outer)
	expect("/a/b"+file, inner)
	expect(file, nil)
	set(t, s, "t/root", root.handler)
	expect(file, root)
	expect("/a/b"+file, inner)
	if err := s.Set("t/thief", newWorld(t, "/a").handler); err == nil || !strings.Contains(err.Error(), "t/outer") {
		t.Errorf("a base path twice: error is %v", err)
	}
	moved := newWorld(t, "/moved")
	set(t, s, "t/outer", moved.handler)
	expect("/a"+file, nil)
	expect("/moved"+file, moved)
	s.Remove("t/inner")
	s.Remove("t/nobody")
	expect("/a/b"+file, nil)
}

// slowResponder answers when it is told to.
type slowResponder struct{ entered, release chan struct{} }

func (r slowResponder) Respond(context.Context, []byte) ([]byte, ocsp.Meta) {
	r.entered <- struct{}{}
	<-r.release
	return ocsp.ErrorResponse(ocsp.TryLater), ocsp.Meta{Status: ocsp.TryLater}
}

func TestServerBoundsAndStops(t *testing.T) {
	slow := slowResponder{make(chan struct{}), make(chan struct{})}
	w := newWorld(t, "")
	h, err := NewHandler(Config{Catalog: w.catalog, Responder: slow})
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(ServerConfig{Concurrency: 1})
	set(t, s, "t/a", h)
	url, stop := start(t, s)
	first := make(chan int, 1)
	go func() {
		r, err := http.Post(url+"/ocsp", "application/ocsp-request", strings.NewReader("x"))
		if err != nil {
			t.Error(err)
			first <- 0
			return
		}
		_ = r.Body.Close()
		first <- r.StatusCode
	}()
	<-slow.entered
	w.catalog.entered, w.catalog.release = make(chan struct{}), make(chan struct{})
	download := make(chan int, 1)
	go func() {
		status, _ := get(t, url+"/ca/businessca-a-g1.cer")
		download <- status
	}()
	<-w.catalog.entered
	if status, text := get(t, url+"/ca/businessca-a-g1.cer"); status != 503 || !strings.Contains(text, "Too many") {
		t.Errorf("second download: status %d, %s", status, text)
	}
	close(w.catalog.release)
	if status := <-download; status != 200 {
		t.Errorf("first download while an OCSP request is under way: status %d", status)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Errorf("stopped with a request in progress: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	close(slow.release)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if status := <-first; status != 200 {
		t.Errorf("request in progress: status %d", status)
	}
	if _, err := http.Get(url); err == nil {
		t.Error("answers after it stopped")
	}
}

func TestServerRefusesLongHeaders(t *testing.T) {
	s := NewServer(ServerConfig{})
	url, _ := start(t, s)
	// The server may hang up before the client has sent it all.
	r, err := http.Get(url + "/ocsp/" + strings.Repeat("M", 40<<10))
	if err != nil {
		return
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d, want 431", r.StatusCode)
	}
}

func TestOpenSSLAsksTheServer(t *testing.T) {
	w := newWorld(t, "/v")
	cert := w.ca.Issue(t, w.ca.ResponderKey, w.now, w.now.Add(time.Hour), smx509.ExtKeyUsageClientAuth)
	w.source.Set(w.ca.Key, pki.SerialFromInt(cert.SerialNumber), ocsp.Status{State: ocsp.Good})
	s := NewServer(ServerConfig{})
	set(t, s, "t/v", w.handler)
	url, _ := start(t, s)
	issuer, leaf := ocsptest.WritePEM(t, w.ca.Certificate), ocsptest.WritePEM(t, cert)
	for _, hash := range []string{"-sha1", "-sha256", "-sm3"} {
		for _, nonce := range []string{"-nonce", "-no_nonce"} {
			t.Run(hash+nonce, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "response")
				text := ocsptest.OpenSSL(t, "ocsp", hash, "-issuer", issuer, "-cert", leaf, nonce, "-url", url+"/v/ocsp", "-noverify", "-respout", file)
				if !strings.Contains(text, ": good") || strings.Contains(text, "WARNING: no nonce") {
					t.Errorf("openssl says: %s", text)
				}
				der, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				ocsptest.VerifySignature(t, der, w.ca.Responder)
				if resp := ocsptest.ResponseText(t, der); strings.Contains(resp, "OCSP Nonce") != (nonce == "-nonce") {
					t.Errorf("nonce is not echoed, or one was made up:\n%s", resp)
				}
				if !bytes.Contains(der, w.ca.Responder.Raw) {
					t.Error("responder certificate is not in the response")
				}
			})
		}
	}
}
