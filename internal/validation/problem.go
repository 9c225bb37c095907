package validation

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// Errors that handlers return. What their text adds is for logs.
var (
	errMethod      = errors.New("method is not allowed")
	errForm        = errors.New("request has the wrong form")
	errTooLarge    = errors.New("request is too large")
	errUnavailable = errors.New("cannot be read now")
	errBusy        = errors.New("too many requests at a time")
	errClientGone  = errors.New("client went away")
)

// problem is how an error looks from outside.
type problem struct {
	err    error
	status int
	result string // label of the metric
	words  string // body, plain text
	retry  bool   // the same request may work in a moment
	log    bool   // the operator has something to mend
}

// problems is the one table from errors to HTTP; the first that matches counts.
var problems = []problem{
	{err: ErrNotFound, status: http.StatusNotFound, result: "not_found",
		words: "Nothing is served at this path. There are <base>/ocsp, <base>/crl/<kind>-<name>-g<generation>-s<shard>.crl and <base>/ca/<kind>-<name>-g<generation>.cer, with kind industryca or businessca."},
	{err: errMethod, status: http.StatusMethodNotAllowed, result: "method_not_allowed",
		words: "This method is not allowed here. CRLs and CA certificates are read by GET or HEAD; OCSP takes POST, GET and HEAD."},
	{err: errForm, status: http.StatusBadRequest, result: "bad_request",
		words: "An OCSP request comes by POST in DER, or by GET with its base64 after <base>/ocsp/ (RFC 6960 Appendix A)."},
	{err: errTooLarge, status: http.StatusRequestEntityTooLarge, result: "too_large",
		words: "The request is longer than 16384 bytes."},
	{err: errBusy, status: http.StatusServiceUnavailable, result: "busy", retry: true,
		words: "Too many requests at a time; please try again."},
	{err: errClientGone, status: http.StatusBadRequest, result: "client_gone",
		words: "The request could not be read."},
	{err: errUnavailable, status: http.StatusServiceUnavailable, result: "unavailable", retry: true, log: true,
		words: "This cannot be read now; please try again."},
	{err: context.DeadlineExceeded, status: http.StatusServiceUnavailable, result: "unavailable", retry: true, log: true,
		words: "This cannot be read now; please try again."},
}

var internalProblem = problem{status: http.StatusInternalServerError, result: "error", log: true, words: "Internal error."}

func problemOf(err error) problem {
	for _, p := range problems {
		if errors.Is(err, p.err) {
			return p
		}
	}
	return internalProblem
}

func (p problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if p.retry {
		h.Set("Retry-After", "5")
	}
	w.WriteHeader(p.status)
	_, _ = io.WriteString(w, p.words+"\n") // nothing is left to do for a client that is gone
}
