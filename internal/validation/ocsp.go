package validation

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/terrace-pki/terrace/internal/ocsp"
)

// serveOCSP answers in the way of RFC 6960 Appendix A: what is no OCSP request
// still gets an OCSP response, with HTTP status 200. The content type of a POST
// is not looked at, as other responders do not: clients exist that send none.
func (h *Handler) serveOCSP(w http.ResponseWriter, r *http.Request, rest string) (result string, err error) {
	buffer := buffers.Get().(*requestBuffer)
	defer buffers.Put(buffer) // Respond keeps nothing of a request
	var request []byte
	if r.Method == http.MethodPost {
		if strings.Trim(rest, "/") != "" {
			return "", ErrNotFound
		}
		request, err = buffer.read(r)
	} else {
		request, err = buffer.decode(rest)
	}
	if err != nil {
		return "", err
	}
	response, meta := h.responder.Respond(r.Context(), request)
	switch {
	case meta.Status == ocsp.Successful:
		h.note(kindOCSP, false, nil)
	case meta.Status != ocsp.TryLater && meta.Status != ocsp.InternalError:
		// the client's doing
	case errors.Is(r.Context().Err(), context.Canceled), errors.Is(meta.Err, ocsp.ErrOverload):
		// the client went away; or it was shed, which the metrics count: a line for
		// each change from full to not full would be a second flood
	default:
		h.note(kindOCSP, true, meta.Err)
	}
	header := w.Header()
	header["Content-Type"] = ocspType
	if !meta.Reusable {
		// RFC 5019 §6.2 has no cache keep errors; a nonce is for one client; and
		// an unknown certificate may be issued in the next moment.
		header["Cache-Control"] = noStore
		writeBody(w, response)
		return resultOf(meta), nil
	}
	h.setReusable(header, meta, len(response))
	if r.Method == http.MethodPost { // conditions and ranges are of GET alone
		writeBody(w, response)
		return resultOf(meta), nil
	}
	if r.Method == http.MethodGet && !conditional(r.Header) {
		header["Accept-Ranges"] = acceptRanges
		writeBody(w, response)
		return resultOf(meta), nil
	}
	http.ServeContent(w, r, "", meta.ThisUpdate, bytes.NewReader(response))
	return resultOf(meta), nil
}

// Header values that all answers share; nobody changes them.
var (
	ocspType     = []string{"application/ocsp-response"}
	noStore      = []string{"no-store"}
	acceptRanges = []string{"bytes"}
)

// setReusable says how long caches may keep a response, and what it is called.
// Values share one array: this is on the way of every cached answer.
func (h *Handler) setReusable(header http.Header, meta ocsp.Meta, length int) {
	values := make([]string, 5)
	set := func(i int, name, value string) {
		values[i] = value
		header[name] = values[i : i+1 : i+1]
	}
	age, expires := validity(meta.RefreshAt.Sub(h.now()), meta.NextUpdate)
	set(0, "Cache-Control", age)
	set(1, "Expires", expires)
	set(2, "Etag", `"`+meta.Digest+`"`)
	set(3, "Last-Modified", meta.ThisUpdate.UTC().Format(http.TimeFormat))
	set(4, "Content-Length", strconv.Itoa(length))
}

// conditional says whether a GET asks for less than the whole.
func conditional(header http.Header) bool {
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "Range"} {
		if header[name] != nil {
			return true
		}
	}
	return false
}

func writeBody(w http.ResponseWriter, b []byte) {
	_, _ = w.Write(b) // nothing is left to do for a client that is gone
}

// resultOf is the label of the metric: the status when one was asked for.
func resultOf(m ocsp.Meta) string {
	switch {
	case errors.Is(m.Err, ocsp.ErrOverload):
		return "shed"
	case m.Status != ocsp.Successful:
		return m.Status.String()
	case len(m.States) == 1:
		return m.States[0].String()
	default:
		return "several"
	}
}

// requestBuffer holds a request while it is answered.
type requestBuffer struct{ text, der []byte }

// usualRequest is more than a request for one certificate has, in bytes.
const usualRequest = 512

// buffers are as many as there are connections at most, and as long as a request
// at most.
var buffers = sync.Pool{New: func() any { return &requestBuffer{der: make([]byte, usualRequest)} }}

// read reads a body of at most MaxRequest bytes.
func (b *requestBuffer) read(r *http.Request) ([]byte, error) {
	if r.ContentLength > ocsp.MaxRequest {
		return nil, fmt.Errorf("read OCSP request: %w", errTooLarge)
	}
	for n := 0; ; {
		if n == len(b.der) { // one more than is allowed, to see that it is too much
			b.der = append(b.der, make([]byte, min(len(b.der), ocsp.MaxRequest+1-n))...)
		}
		more, err := r.Body.Read(b.der[n:])
		n += more
		switch {
		case n > ocsp.MaxRequest:
			return nil, fmt.Errorf("read OCSP request: %w", errTooLarge)
		case errors.Is(err, io.EOF):
			return b.der[:n], nil
		case err != nil:
			return nil, fmt.Errorf("read OCSP request: %w: %w", errClientGone, err)
		}
	}
}

// decode reads the base64 of a GET, from which net/http took the escapes.
// Clients differ: slashes stand as they are or escaped, "+" was made a space on
// the way, the padding is missing, or the base URL ended with a slash. DER of a
// SEQUENCE begins with "M", so that slashes before it mean nothing. What is no
// base64 comes back empty, which is a malformed request.
func (b *requestBuffer) decode(rest string) ([]byte, error) {
	text := strings.TrimRight(strings.TrimLeft(rest, "/"), "=")
	if text == "" {
		return nil, fmt.Errorf("GET without a request: %w", errForm)
	}
	size := base64.RawStdEncoding.DecodedLen(len(text))
	if size > ocsp.MaxRequest {
		return nil, fmt.Errorf("decode OCSP request: %w", errTooLarge)
	}
	b.text = append(b.text[:0], text...)
	for i, c := range b.text {
		if c == ' ' {
			b.text[i] = '+'
		}
	}
	if size > len(b.der) {
		b.der = make([]byte, size)
	}
	n, err := base64.RawStdEncoding.Decode(b.der, b.text)
	if err != nil {
		return nil, nil //nolint:nilerr // the OCSP response says malformedRequest
	}
	return b.der[:n], nil
}
