package validation

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/terrace-pki/terrace/internal/ocsp"
)

// serveOCSP answers in the way of RFC 6960 Appendix A: what is no OCSP request
// still gets an OCSP response, with HTTP status 200. The content type of a POST
// is not looked at, as other responders do not: clients exist that send none.
func (h *Handler) serveOCSP(w http.ResponseWriter, r *http.Request, rest string) (result string, err error) {
	var request []byte
	if r.Method == http.MethodPost {
		if strings.Trim(rest, "/") != "" {
			return "", ErrNotFound
		}
		request, err = readBody(w, r)
	} else {
		request, err = decodePath(rest)
	}
	if err != nil {
		return "", err
	}
	response, meta := h.responder.Respond(r.Context(), request)
	failed := meta.Status == ocsp.TryLater || meta.Status == ocsp.InternalError
	switch {
	case failed && !errors.Is(r.Context().Err(), context.Canceled): // else the client went away
		h.note(kindOCSP, true, meta.Err)
	case meta.Status == ocsp.Successful:
		h.note(kindOCSP, false, nil)
	}
	header := w.Header()
	header.Set("Content-Type", "application/ocsp-response")
	if !meta.Reusable {
		// RFC 5019 §6.2 has no cache keep errors; a nonce is for one client; and
		// an unknown certificate may be issued in the next moment.
		header.Set("Cache-Control", "no-store")
		writeBody(w, response)
		return resultOf(meta), nil
	}
	h.setAge(header, meta.RefreshAt.Sub(h.now()), meta.NextUpdate)
	header.Set("ETag", etag(response))
	if r.Method == http.MethodPost { // conditions and ranges are of GET alone
		header.Set("Last-Modified", meta.ThisUpdate.UTC().Format(http.TimeFormat))
		writeBody(w, response)
		return resultOf(meta), nil
	}
	http.ServeContent(w, r, "", meta.ThisUpdate, bytes.NewReader(response))
	return resultOf(meta), nil
}

func writeBody(w http.ResponseWriter, b []byte) {
	_, _ = w.Write(b) // nothing is left to do for a client that is gone
}

// resultOf is the label of the metric: the status when one was asked for.
func resultOf(m ocsp.Meta) string {
	switch {
	case m.Status != ocsp.Successful:
		return m.Status.String()
	case len(m.States) == 1:
		return m.States[0].String()
	default:
		return "several"
	}
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, ocsp.MaxRequest))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, fmt.Errorf("read OCSP request: %w", errTooLarge)
	}
	if err != nil {
		return nil, fmt.Errorf("read OCSP request: %w: %w", errClientGone, err)
	}
	return body, nil
}

// decodePath reads the base64 of a GET, from which net/http took the escapes.
// Clients differ: slashes stand as they are or escaped, "+" was made a space on
// the way, the padding is missing, or the base URL ended with a slash. DER of a
// SEQUENCE begins with "M", so that slashes before it mean nothing. What is no
// base64 comes back empty, which is a malformed request.
func decodePath(rest string) ([]byte, error) {
	text := strings.TrimRight(strings.TrimLeft(rest, "/"), "=")
	if text == "" {
		return nil, fmt.Errorf("GET without a request: %w", errForm)
	}
	if len(text) > base64.RawStdEncoding.EncodedLen(ocsp.MaxRequest) {
		return nil, fmt.Errorf("decode OCSP request: %w", errTooLarge)
	}
	der, err := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(text, " ", "+"))
	if err != nil {
		return nil, nil //nolint:nilerr // the OCSP response says malformedRequest
	}
	return der, nil
}
