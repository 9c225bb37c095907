package validation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// requestTimeout bounds the reading of one file; an OCSP responder has bounds of its own.
const requestTimeout = 10 * time.Second

// Config of the handler of one validation service.
type Config struct {
	// Base is the path below which the service is found, from BasePath.
	Base string
	// Catalog and Responder are required.
	Catalog   Catalog
	Responder Responder
	// Metrics may be shared with other services; nil keeps none.
	Metrics *Metrics
	// Log hears of failures once, when they begin and end.
	Log logr.Logger
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// Handler serves one validation service.
type Handler struct {
	base      string
	catalog   Catalog
	responder Responder
	metrics   *Metrics
	log       logr.Logger
	now       func() time.Time
	failing   map[kind]*atomic.Bool
}

var _ http.Handler = (*Handler)(nil)

// NewHandler returns a handler, or an error when the configuration is incomplete.
func NewHandler(c Config) (*Handler, error) {
	if c.Catalog == nil || c.Responder == nil {
		return nil, errors.New("new validation handler: catalog and responder are needed")
	}
	if err := checkBase(c.Base); err != nil {
		return nil, fmt.Errorf("new validation handler: base %.100q: %w", c.Base, err)
	}
	h := &Handler{base: c.Base, catalog: c.Catalog, responder: c.Responder, metrics: c.Metrics, log: c.Log, now: c.Now,
		failing: map[kind]*atomic.Bool{kindOCSP: {}, kindCRL: {}, kindCA: {}, kindTrustList: {}, kindOther: {}}}
	if h.metrics == nil {
		h.metrics = NewMetrics(nil)
	}
	if h.now == nil {
		h.now = time.Now
	}
	return h, nil
}

// kind of a request, as metrics and limits know it.
type kind string

const (
	kindOCSP      kind = "ocsp"
	kindCRL       kind = "crl"
	kindCA        kind = "ca"
	kindTrustList kind = "ctl"
	kindOther     kind = "other"
)

// split finds what a path below base asks for. http.ServeMux cannot be used:
// it redirects "//", which stands in base64.
func split(path, base string) (k kind, rest string) {
	below, ok := strings.CutPrefix(path, base+"/")
	if !ok {
		return kindOther, ""
	}
	first, rest, _ := strings.Cut(below, "/")
	switch k := kind(first); k {
	case kindOCSP, kindCRL, kindCA, kindTrustList:
		return k, rest
	}
	return kindOther, ""
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	k, rest := split(r.URL.Path, h.base)
	result, err := h.serve(w, r, k, rest)
	if err != nil {
		if r.Context().Err() != nil { // then a failed look-up is the client's doing
			err = fmt.Errorf("%w: %w", errClientGone, err)
		}
		p := problemOf(err)
		if p.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", allowed[k])
		}
		p.write(w)
		result = p.result
		h.note(k, p.log, err)
	}
	h.metrics.observe(k, result, time.Since(begin))
}

// allowed methods by kind.
var allowed = map[kind]string{kindOCSP: "GET, HEAD, POST", kindCRL: "GET, HEAD", kindCA: "GET, HEAD", kindTrustList: "GET, HEAD", kindOther: "GET, HEAD"}

// serve writes the answer and says what it was, or returns an error and has
// written nothing.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, k kind, rest string) (result string, err error) {
	if k == kindOther {
		return "", ErrNotFound
	}
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !read && (k != kindOCSP || r.Method != http.MethodPost) {
		return "", errMethod
	}
	if k == kindOCSP {
		return h.serveOCSP(w, r, rest)
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	r = r.WithContext(ctx)
	switch k {
	case kindCRL:
		err = h.serveCRL(w, r, rest)
	case kindTrustList:
		err = h.serveTrustList(w, r, rest)
	default:
		err = h.serveCA(w, r, rest)
	}
	if err == nil {
		h.note(k, false, nil)
	}
	return "ok", err
}

// note logs the first of a row of failures of a kind, and its end.
func (h *Handler) note(k kind, failed bool, err error) {
	switch {
	case failed && !h.failing[k].Swap(true):
		h.log.Error(err, "validation service fails; trying on", "base", h.base, "kind", k)
	case !failed && err == nil && h.failing[k].Load() && h.failing[k].CompareAndSwap(true, false):
		h.log.Info("validation service answers again", "base", h.base, "kind", k)
	}
}
