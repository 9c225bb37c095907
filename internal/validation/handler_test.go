package validation

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/terrace-pki/terrace/internal/ocsp"
	"github.com/terrace-pki/terrace/internal/ocsp/ocsptest"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/trustlist"
)

const (
	issued  pki.Serial = "01AA"
	revoked pki.Serial = "01BB"
	never   pki.Serial = "01DD"
)

// catalog has the files of one CA, or fails.
type catalog struct {
	ca         CAName
	crl, delta CRL
	cer        []byte
	err        error
	// entered and release hold CACertificate up, unless they are nil.
	entered, release chan struct{}
}

func (c *catalog) CRL(_ context.Context, ca CAName, shard int32) (CRL, error) {
	if c.err == nil && (ca != c.ca || shard != 0) {
		return CRL{}, ErrNotFound
	}
	return c.crl, c.err
}

func (c *catalog) Delta(_ context.Context, ca CAName, shard int32) (CRL, error) {
	if c.err == nil && (ca != c.ca || shard != 0 || c.delta.DER == nil) {
		return CRL{}, ErrNotFound
	}
	return c.delta, c.err
}

// TrustList is that of the same name, its bytes the form's extension.
func (c *catalog) TrustList(_ context.Context, ca CAName, form trustlist.Form) (CRL, error) {
	if want := (CAName{KindIndustryCA, c.ca.Name, c.ca.Generation}); c.err == nil && ca != want {
		return CRL{}, ErrNotFound
	}
	l := c.crl
	l.DER = []byte(form.Extension())
	return l, c.err
}

func (c *catalog) CACertificate(_ context.Context, ca CAName) ([]byte, error) {
	if c.entered != nil {
		c.entered <- struct{}{}
		<-c.release
	}
	if c.err == nil && ca != c.ca {
		return nil, ErrNotFound
	}
	return c.cer, c.err
}

type world struct {
	ca       *ocsptest.CA
	source   *ocsptest.Source
	shared   *ocsp.Shared
	catalog  *catalog
	registry *prometheus.Registry
	metrics  *Metrics
	handler  *Handler
	now      time.Time
}

func newWorld(t testing.TB, base string) *world {
	t.Helper()
	return newWorldOn(t, base, &ocsptest.Source{}, ocsp.SharedConfig{})
}

func newWorldOn(t testing.TB, base string, source *ocsptest.Source, c ocsp.SharedConfig) *world {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	w := &world{ca: ocsptest.NewCA(t, "a", now), source: source, registry: prometheus.NewRegistry(), now: now}
	w.source.Set(w.ca.Key, issued, ocsp.Status{State: ocsp.Good})
	w.source.Set(w.ca.Key, revoked, ocsp.Status{State: ocsp.Revoked, RevokedAt: now.Add(-time.Hour)})
	clock := func() time.Time { return w.now }
	var err error
	if w.shared, err = ocsp.NewShared(c); err != nil {
		t.Fatal(err)
	}
	responder, err := ocsp.NewResponder(ocsp.Config{Source: w.source, Validity: time.Hour, Shared: w.shared, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	if err := responder.Replace([]*ocsp.Authority{w.ca.Authority(t)}); err != nil {
		t.Fatal(err)
	}
	w.catalog = &catalog{ca: CAName{KindBusinessCA, "a", 1}, cer: w.ca.Certificate.Raw,
		crl:   CRL{DER: []byte("0123456789"), Number: 77, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(30 * time.Minute)},
		delta: CRL{DER: []byte("delta"), Number: 79, ThisUpdate: now, NextUpdate: now.Add(10 * time.Minute)}}
	w.metrics = NewMetrics(w.registry)
	w.handler, err = NewHandler(Config{Base: base, Catalog: w.catalog, Responder: responder, Metrics: w.metrics, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) do(method, target string, body []byte, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, bytes.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return recorder.Result()
}

func body(t testing.TB, r *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (w *world) parse(t testing.TB, r *http.Response) *ocsp.Response {
	t.Helper()
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/ocsp-response" {
		t.Fatalf("HTTP status %d, content type %q", r.StatusCode, r.Header.Get("Content-Type"))
	}
	got, err := ocsp.ParseResponse(body(t, r), w.ca.Certificate, w.now)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestOCSPForms(t *testing.T) {
	w := newWorld(t, "/v")
	// A request whose base64 has "/" and "+" in it.
	var request []byte
	var text string
	for i := byte(0); !strings.Contains(text, "/") || !strings.Contains(text, "+") || !strings.Contains(text, "//"); i++ {
		request = w.ca.Request(t, ocsp.SHA1, []byte{0xff, 0xff, 0xff, 0xfb, 0xef, 0xbe, 0xfb, i}, issued)
		if text = base64.StdEncoding.EncodeToString(request); i == 255 {
			t.Fatal("no request with // and + in its base64")
		}
	}
	tests := map[string]struct {
		method, target string
		body           []byte
		header         []string
	}{
		"POST":                      {method: "POST", target: "/v/ocsp", body: request, header: []string{"Content-Type", "application/ocsp-request"}},
		"POST with another type":    {method: "POST", target: "/v/ocsp", body: request, header: []string{"Content-Type", "text/plain"}},
		"POST with a slash":         {method: "POST", target: "/v/ocsp/", body: request},
		"GET escaped":               {method: "GET", target: "/v/ocsp/" + url.QueryEscape(text)},
		"GET path-escaped":          {method: "GET", target: "/v/ocsp/" + url.PathEscape(text)},
		"GET as it is":              {method: "GET", target: "/v/ocsp/" + text},
		"GET with two slashes":      {method: "GET", target: "/v/ocsp//" + text},
		"GET without padding":       {method: "GET", target: "/v/ocsp/" + strings.TrimRight(text, "=")},
		"GET with spaces for +":     {method: "GET", target: "/v/ocsp/" + strings.ReplaceAll(text, "+", "%20")},
		"HEAD is answered like GET": {method: "HEAD", target: "/v/ocsp/" + text},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := w.do(test.method, test.target, test.body, test.header...)
			got := w.parse(t, r)
			if len(got.Responses) != 1 || got.Responses[0].State != ocsp.Good || got.Nonce == nil {
				t.Errorf("response is %+v", got)
			}
			if c := r.Header.Get("Cache-Control"); c != "no-store" {
				t.Errorf("Cache-Control of a response with nonce is %q", c)
			}
		})
	}
}

func TestOCSPErrors(t *testing.T) {
	stranger := ocsptest.NewCA(t, "c", time.Now())
	tests := map[string]struct {
		method, target string
		body           []byte
		fail           error
		wantHTTP       int
		want           ocsp.ResponseStatus
	}{
		"garbage":            {method: "POST", target: "/ocsp", body: []byte("hello"), wantHTTP: 200, want: ocsp.MalformedRequest},
		"nothing":            {method: "POST", target: "/ocsp", wantHTTP: 200, want: ocsp.MalformedRequest},
		"garbage by GET":     {method: "GET", target: "/ocsp/aGVsbG8=", wantHTTP: 200, want: ocsp.MalformedRequest},
		"no base64":          {method: "GET", target: "/ocsp/@@@", wantHTTP: 200, want: ocsp.MalformedRequest},
		"of another CA":      {method: "POST", target: "/ocsp", body: stranger.Request(t, ocsp.SHA1, nil, issued), wantHTTP: 200, want: ocsp.Unauthorized},
		"source is away":     {method: "POST", target: "/ocsp", fail: errors.New("is away"), wantHTTP: 200, want: ocsp.TryLater},
		"too long":           {method: "POST", target: "/ocsp", body: make([]byte, ocsp.MaxRequest+1), wantHTTP: 413},
		"too long by GET":    {method: "GET", target: "/ocsp/" + strings.Repeat("M", 22000), wantHTTP: 413},
		"GET without":        {method: "GET", target: "/ocsp", wantHTTP: 400},
		"PUT":                {method: "PUT", target: "/ocsp", wantHTTP: 405},
		"POST to a GET path": {method: "POST", target: "/ocsp/MA==", wantHTTP: 404},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "")
			w.source.Fail(test.fail)
			if test.fail != nil {
				test.body = w.ca.Request(t, ocsp.SHA1, nil, issued)
			}
			r := w.do(test.method, test.target, test.body)
			if r.StatusCode != test.wantHTTP || r.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("HTTP status %d, want %d; Cache-Control %q, want no-store", r.StatusCode, test.wantHTTP, r.Header.Get("Cache-Control"))
			}
			if test.wantHTTP != 200 {
				if text := body(t, r); len(text) < 20 || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
					t.Errorf("%q of type %q does not say what is wrong", text, r.Header.Get("Content-Type"))
				}
				return
			}
			if got := w.parse(t, r); got.Status != test.want {
				t.Errorf("OCSP status %v, want %v", got.Status, test.want)
			}
		})
	}
}

func TestOCSPCaching(t *testing.T) {
	w := newWorld(t, "")
	target := "/ocsp/" + url.PathEscape(base64.StdEncoding.EncodeToString(w.ca.Request(t, ocsp.SHA1, nil, issued)))
	r := w.do("GET", target, nil)
	tag := r.Header.Get("ETag")
	want := http.Header{
		"Content-Type": {"application/ocsp-response"}, "Cache-Control": {"max-age=1800, public, no-transform, must-revalidate"},
		"Last-Modified": {w.now.Format(http.TimeFormat)}, "Expires": {w.now.Add(time.Hour).Format(http.TimeFormat)},
		"Etag": {tag}, "Accept-Ranges": {"bytes"}, "Content-Length": {r.Header.Get("Content-Length")},
	}
	if diff := cmp.Diff(want, r.Header); diff != "" || tag == "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if got := w.parse(t, r); got.Responses[0].State != ocsp.Good {
		t.Errorf("response is %+v", got)
	}
	w.now = w.now.Add(10 * time.Minute)
	if r := w.do("GET", target, nil, "If-None-Match", tag); r.StatusCode != http.StatusNotModified || r.Header.Get("Cache-Control") != "max-age=1200, public, no-transform, must-revalidate" {
		t.Errorf("status %d, Cache-Control %q, want 304 with 1200 seconds left", r.StatusCode, r.Header.Get("Cache-Control"))
	}
	w.source.Set(w.ca.Key, issued, ocsp.Status{State: ocsp.Revoked, RevokedAt: w.now})
	if got := w.parse(t, w.do("GET", target, nil, "If-None-Match", tag)); got.Responses[0].State != ocsp.Revoked {
		t.Errorf("after the revocation: %+v", got)
	}
	unknown := w.do("POST", "/ocsp", w.ca.Request(t, ocsp.SHA1, nil, never))
	if got := w.parse(t, unknown); got.Responses[0].State != ocsp.Unknown || unknown.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("of a serial that was never issued: %+v, Cache-Control %q", got, unknown.Header.Get("Cache-Control"))
	}
}

func TestFiles(t *testing.T) {
	w := newWorld(t, "/v/w")
	const crlPath, caPath = "/v/w/crl/businessca-a-g1-s0.crl", "/v/w/ca/businessca-a-g1.cer"
	tests := map[string]struct {
		method, target string
		header         []string
		fail           error
		wantStatus     int
		wantBody       string
		wantHeader     map[string]string
	}{
		"CRL": {target: crlPath, wantStatus: 200, wantBody: "0123456789", wantHeader: map[string]string{
			"Content-Type": "application/pkix-crl", "ETag": `"77"`, "Cache-Control": "max-age=900, public, no-transform, must-revalidate",
			"Last-Modified": w.now.Add(-time.Minute).Format(http.TimeFormat), "Expires": w.now.Add(30 * time.Minute).Format(http.TimeFormat)}},
		"delta": {target: "/v/w/crl/businessca-a-g1-s0-delta.crl", wantStatus: 200, wantBody: "delta", wantHeader: map[string]string{
			"Content-Type": "application/pkix-crl", "ETag": `"79"`, "Cache-Control": "max-age=300, public, no-transform, must-revalidate"}},
		"CRL, HEAD":              {method: "HEAD", target: crlPath, wantStatus: 200, wantHeader: map[string]string{"Content-Length": "10"}},
		"CRL, range":             {target: crlPath, header: []string{"Range", "bytes=2-4"}, wantStatus: 206, wantBody: "234"},
		"CRL, same number":       {target: crlPath, header: []string{"If-None-Match", `"77"`}, wantStatus: 304},
		"CRL, earlier number":    {target: crlPath, header: []string{"If-None-Match", `"76"`}, wantStatus: 200, wantBody: "0123456789"},
		"CRL, not newer":         {target: crlPath, header: []string{"If-Modified-Since", w.now.Format(http.TimeFormat)}, wantStatus: 304},
		"delta of no such shard": {target: "/v/w/crl/businessca-a-g1-s1-delta.crl", wantStatus: 404},
		"CRL of no such shard":   {target: "/v/w/crl/businessca-a-g1-s1.crl", wantStatus: 404},
		"CRL of another kind":    {target: "/v/w/crl/industryca-a-g1-s0.crl", wantStatus: 404},
		"CRL without a name":     {target: "/v/w/crl/", wantStatus: 404},
		"CRL, catalog is away":   {target: crlPath, fail: errors.New("secret DSN"), wantStatus: 503, wantHeader: map[string]string{"Retry-After": "5"}},
		"CRL, catalog is slow":   {target: crlPath, fail: context.DeadlineExceeded, wantStatus: 503},
		"CRL, POST":              {method: "POST", target: crlPath, wantStatus: 405, wantHeader: map[string]string{"Allow": "GET, HEAD"}},
		"certificate":            {target: caPath, wantStatus: 200, wantBody: string(w.ca.Certificate.Raw), wantHeader: map[string]string{"Content-Type": "application/pkix-cert", "Cache-Control": "max-age=86400, public, no-transform, must-revalidate"}},
		"certificate, same":      {target: caPath, header: []string{"If-None-Match", etag(w.ca.Certificate.Raw)}, wantStatus: 304},
		"certificate of another": {target: "/v/w/ca/businessca-b-g1.cer", wantStatus: 404},
		"outside of the base":    {target: "/v/crl/businessca-a-g1-s0.crl", wantStatus: 404},
		"base that goes on":      {target: "/v/wx/crl/businessca-a-g1-s0.crl", wantStatus: 404},
		"dots":                   {target: "/v/w/crl/../ca/businessca-a-g1.cer", wantStatus: 404},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w.catalog.err = test.fail
			defer func() { w.catalog.err = nil }()
			method := test.method
			if method == "" {
				method = "GET"
			}
			r := w.do(method, test.target, nil, test.header...)
			text := string(body(t, r))
			if r.StatusCode != test.wantStatus {
				t.Fatalf("status %d, want %d: %s", r.StatusCode, test.wantStatus, text)
			}
			if test.wantStatus < 300 && method != "HEAD" && text != test.wantBody {
				t.Errorf("body is %q", text)
			}
			if test.wantStatus >= 400 && (len(text) < 20 || strings.Contains(text, "DSN")) {
				t.Errorf("words are %q", text)
			}
			for name, want := range test.wantHeader {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestFailuresAreLoggedOnce(t *testing.T) {
	w := newWorld(t, "")
	var lines []string
	w.handler.log = funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	request := w.ca.Request(t, ocsp.SHA1, nil, issued)
	ask := func() {
		w.do("POST", "/ocsp", request)
		w.do("GET", "/crl/businessca-a-g1-s0.crl", nil)
		w.do("GET", "/nowhere", nil)
	}
	ask()
	w.source.Fail(errors.New("is away"))
	w.catalog.err = errors.New("is away")
	ask()
	ask()
	if len(lines) != 2 || !strings.Contains(lines[0], "is away") {
		t.Errorf("two kinds fail twice: %q, want two lines", lines)
	}
	w.source.Fail(nil)
	w.catalog.err = nil
	ask()
	ask()
	if len(lines) != 4 || !strings.Contains(lines[3], "answers again") {
		t.Errorf("both kinds work again: %q, want four lines", lines)
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, "")
	w.do("POST", "/ocsp", w.ca.Request(t, ocsp.SHA1, nil, issued))
	w.do("POST", "/ocsp", w.ca.Request(t, ocsp.SHA1, nil, revoked))
	w.do("POST", "/ocsp", w.ca.Request(t, ocsp.SHA1, nil, issued, revoked))
	w.do("POST", "/ocsp", []byte("hello"))
	w.do("GET", "/crl/businessca-a-g1-s0.crl", nil)
	w.do("GET", "/ca/businessca-zz-g1.cer", nil)
	w.do("GET", "/etc/passwd", nil)
	want := `# HELP terrace_validation_requests_total Requests to the validation services, by kind (ocsp, crl, ca, ctl, other) and result: the certificate's status, the OCSP error, or shed when too many waited; else ok or the HTTP error.
# TYPE terrace_validation_requests_total counter
terrace_validation_requests_total{kind="ca",result="not_found"} 1
terrace_validation_requests_total{kind="crl",result="ok"} 1
terrace_validation_requests_total{kind="ocsp",result="good"} 1
terrace_validation_requests_total{kind="ocsp",result="malformedRequest"} 1
terrace_validation_requests_total{kind="ocsp",result="revoked"} 1
terrace_validation_requests_total{kind="ocsp",result="several"} 1
terrace_validation_requests_total{kind="other",result="not_found"} 1
`
	if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want), "terrace_validation_requests_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(w.registry, "terrace_validation_request_seconds"); err != nil || n != 4 {
		t.Errorf("%d duration series, %v; want one for each of 4 kinds", n, err)
	}
}

func TestTrustListsAreServed(t *testing.T) {
	w := newWorld(t, "/pki")
	for path, want := range map[string]struct {
		status            int
		contentType, body string
	}{
		"/pki/ctl/industryca-a-g1.ctl":    {http.StatusOK, "application/pkcs7-mime", ".ctl"},
		"/pki/ctl/industryca-a-g1.p7b":    {http.StatusOK, "application/x-pkcs7-certificates", ".p7b"},
		"/pki/ctl/industryca-b-g1.ctl":    {status: http.StatusNotFound},
		"/pki/ctl/businessca-a-g1.ctl":    {status: http.StatusNotFound},
		"/pki/ctl/industryca-a-g1.cer":    {status: http.StatusNotFound},
		"/pki/ctl/industryca-a-g01.ctl":   {status: http.StatusNotFound},
		"/pki/ctl/../industryca-a-g1.ctl": {status: http.StatusNotFound},
	} {
		r := w.do(http.MethodGet, path, nil)
		got := body(t, r)
		if r.StatusCode != want.status || want.body != "" && (string(got) != want.body || r.Header.Get("Content-Type") != want.contentType || r.Header.Get("ETag") != `"77"`) {
			t.Errorf("%s: status %d, %q as %s, ETag %s", path, r.StatusCode, got, r.Header.Get("Content-Type"), r.Header.Get("ETag"))
		}
	}
	if r := w.do(http.MethodPost, "/pki/ctl/industryca-a-g1.ctl", nil); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, Allow %q", r.StatusCode, r.Header.Get("Allow"))
	}
	w.catalog.err = errors.New("disk")
	if r := w.do(http.MethodGet, "/pki/ctl/industryca-a-g1.ctl", nil); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a catalog that fails: status %d", r.StatusCode)
	}
}
