package validation

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/ocsp/ocsptest"
)

// discard is a ResponseWriter that keeps its headers from one request to the next.
type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { d.n += len(b); return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// cachedWorld answers without a look-up.
func cachedWorld(t testing.TB) *world {
	return newWorldOn(t, "/v", &ocsptest.Source{Changes: ocsp.NewChanges()}, ocsp.SharedConfig{})
}

// requests for one certificate, by POST and by GET. Each call of the functions
// returns the same request anew.
func (w *world) requests(t testing.TB) map[string]func() *http.Request {
	der := w.ca.Request(t, ocsp.SHA1, nil, issued)
	post := httptest.NewRequest("POST", "/v/ocsp", nil)
	post.ContentLength = int64(len(der))
	body := bytes.NewReader(der)
	post.Body = io.NopCloser(body)
	get := httptest.NewRequest("GET", "/v/ocsp/"+url.PathEscape(base64.StdEncoding.EncodeToString(der)), nil)
	return map[string]func() *http.Request{
		"POST": func() *http.Request { body.Reset(der); return post },
		"GET":  func() *http.Request { return get },
	}
}

// TestCachedAllocations: what a cached answer costs beside net/http.
func TestCachedAllocations(t *testing.T) {
	w := cachedWorld(t)
	s := NewServer(ServerConfig{Metrics: w.metrics})
	set(t, s, "t/v", w.handler)
	for name, request := range w.requests(t) {
		out := &discard{header: http.Header{}}
		s.ServeHTTP(out, request()) // signs
		if n := testing.AllocsPerRun(200, func() { s.ServeHTTP(out, request()) }); n >= 10 {
			t.Errorf("%s: %.0f allocations, want fewer than 10", name, n)
		}
		if out.n < 200*500 {
			t.Errorf("%s: %d bytes were sent", name, out.n)
		}
	}
}

// BenchmarkCached measures a cached answer beside a trivial handler, without a
// network: see terrace bench ocsp for the whole.
func BenchmarkCached(b *testing.B) {
	w := cachedWorld(b)
	out := &discard{header: http.Header{}}
	body := make([]byte, 1000)
	trivial := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/ocsp-response")
		_, _ = w.Write(body)
	})
	for name, request := range w.requests(b) {
		for which, h := range map[string]http.Handler{"OCSP": w.handler, "trivial": trivial} {
			b.Run(name+"/"+which, func(b *testing.B) {
				h.ServeHTTP(out, request())
				b.ReportAllocs()
				for b.Loop() {
					h.ServeHTTP(out, request())
				}
			})
		}
	}
}

// TestFloodOfNonces: clients that ask with nonces, more than can be signed, get
// tryLater in OCSP's own words, and do not keep others from their answers.
func TestFloodOfNonces(t *testing.T) {
	w := newWorldOn(t, "/v", &ocsptest.Source{Changes: ocsp.NewChanges()},
		ocsp.SharedConfig{Single: ocsp.Lane{Concurrency: 1, Queue: 2, Wait: 20 * time.Millisecond}})
	s := NewServer(ServerConfig{Metrics: w.metrics})
	set(t, s, "t/v", w.handler)
	address, _ := start(t, s)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	ask := func(request []byte) (*ocsp.Response, error) {
		r, err := client.Post(address+"/v/ocsp", "application/ocsp-request", bytes.NewReader(request))
		if err != nil {
			return nil, err
		}
		defer func() { _ = r.Body.Close() }()
		der, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/ocsp-response" {
			return nil, fmt.Errorf("HTTP status %d: %s", r.StatusCode, der)
		}
		return ocsp.ParseResponse(der, w.ca.Certificate, w.now)
	}
	ctx, stop := context.WithCancel(t.Context())
	var g sync.WaitGroup
	var shed, answered atomic.Int64
	for i := range 24 {
		nonced := w.ca.Request(t, ocsp.SHA1, []byte{byte(i)}, issued)
		g.Go(func() {
			for ctx.Err() == nil {
				got, err := ask(nonced)
				switch {
				case err != nil:
					t.Errorf("during the flood: %v", err)
					return
				case got.Status == ocsp.TryLater:
					shed.Add(1)
				case got.Status == ocsp.Successful && got.Responses[0].State == ocsp.Good && bytes.Equal(got.Nonce, []byte{byte(i)}):
					answered.Add(1)
				default:
					t.Errorf("during the flood: %+v", got)
				}
			}
		})
	}
	for deadline := time.Now().Add(20 * time.Second); shed.Load() < 50 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	for i := range 100 {
		serial, want := issued, ocsp.Good
		if i%2 == 1 {
			serial, want = revoked, ocsp.Revoked
		}
		if got, err := ask(w.ca.Request(t, []ocsp.Hash{ocsp.SHA1, ocsp.SHA256, ocsp.SM3}[i%3], nil, serial)); err != nil || got.Status != ocsp.Successful || got.Responses[0].State != want {
			t.Errorf("another request during the flood: %+v, %v", got, err)
		}
	}
	stop()
	g.Wait()
	if shed.Load() == 0 || answered.Load() == 0 {
		t.Errorf("%d shed, %d answered of the flood; want some of both", shed.Load(), answered.Load())
	}
	if n := testutil.ToFloat64(w.metrics.requests.WithLabelValues("ocsp", "shed")); int64(n) != shed.Load() {
		t.Errorf("metric counts %.0f shed, want %d", n, shed.Load())
	}
	want := fmt.Sprintf(`# HELP terrace_ocsp_shed_total OCSP requests answered with tryLater because too many waited, by lane: reusable; single for those with a nonce, for several certificates or for unknown ones; lookup before either.
# TYPE terrace_ocsp_shed_total counter
terrace_ocsp_shed_total{lane="lookup"} 0
terrace_ocsp_shed_total{lane="reusable"} 0
terrace_ocsp_shed_total{lane="single"} %d
`, shed.Load())
	if err := testutil.CollectAndCompare(NewOCSPMetrics(w.shared), strings.NewReader(want), "terrace_ocsp_shed_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(NewOCSPMetrics(w.shared)); err != nil || len(problems) > 0 {
		t.Errorf("lint of metrics: %v, %v", problems, err)
	}
}

// FuzzDecode compares with the plain way to say what a path means.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "/", "MA==", "//MA", "a b+/", "@@@", "MEQwQjBAMD4wPDAJBgUrDgMCGgUABBQ", strings.Repeat("M", 22000)} {
		f.Add(s)
	}
	b := &requestBuffer{der: make([]byte, usualRequest)}
	f.Fuzz(func(t *testing.T, rest string) {
		text := strings.TrimRight(strings.TrimLeft(rest, "/"), "=")
		want, wantErr := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(text, " ", "+"))
		got, err := b.decode(rest)
		switch {
		case text == "" || base64.RawStdEncoding.DecodedLen(len(text)) > ocsp.MaxRequest:
			if err == nil {
				t.Errorf("%d characters are taken", len(text))
			}
		case err != nil || wantErr != nil && got != nil || wantErr == nil && !bytes.Equal(got, want):
			t.Errorf("%.80q: %x, %v, want %x, %v", rest, got, err, want, wantErr)
		}
	})
}
