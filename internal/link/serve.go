package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// What links agree on in HTTP.
const (
	path        = "/link/v1"
	contentType = "application/vnd.terrace.link"
)

const (
	// maxConnectionAge is when a connection is closed after its current call, so
	// that renewed certificates come into use and ended ones go out of it.
	maxConnectionAge = 10 * time.Minute
	// cutOff is how long handlers have to notice that their context ended.
	cutOff = 5 * time.Second
)

type connectionStart struct{}

// Serve answers calls on l until ctx ends. Then new calls are refused, those
// under way have StopTimeout to end, and Serve returns nil; the error of
// net/http otherwise. config is transport's ServerTLS. l is closed in any case.
func (s *Server) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	h := &http.Server{
		Handler:           s,
		TLSConfig:         config,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      s.cfg.HandlerTimeout + 2*time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(errorLog{s}, "", 0),
		// Not ctx: calls under way are to end by themselves.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connectionStart{}, time.Now())
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- h.ServeTLS(l, "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve link: %w", err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.StopTimeout)
	defer cancel()
	err := h.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		s.cfg.Log.Info("calls under way did not end in time and are cut off", "timeout", s.cfg.StopTimeout.String())
		err = errors.Join(h.Close(), s.drain())
	}
	if err != nil {
		return fmt.Errorf("stop link: %w", err)
	}
	return nil
}

// drain waits until no handler runs, since what handlers use is closed next.
func (s *Server) drain() error {
	late := time.After(cutOff)
	for n := range cap(s.slots) {
		select {
		case s.slots <- struct{}{}:
		case <-late:
			return fmt.Errorf("%d calls go on although their context ended", cap(s.slots)-n)
		}
	}
	return nil
}

// ServeHTTP answers one call. A refusal before the message was read is plain
// HTTP and not signed: it can make the caller try again or give up, no more.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if start, ok := r.Context().Value(connectionStart{}).(time.Time); ok && time.Since(start) > s.maxAge {
		w.Header().Set("Connection", "close")
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		s.refuse(w, "tls", http.StatusForbidden, "a client certificate is required")
		return
	}
	if r.URL.Path != path || r.Method != http.MethodPost || r.Header.Get("Content-Type") != contentType {
		s.refuse(w, "http", http.StatusNotFound, "want POST "+path+" with "+contentType)
		return
	}
	if s.stopping.Load() {
		w.Header().Set("Retry-After", "1")
		s.refuse(w, "stopping", http.StatusServiceUnavailable, "is stopping")
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		s.refuse(w, "busy", http.StatusTooManyRequests, fmt.Sprintf("works on %d calls already", cap(s.slots)))
		return
	}
	most := int64(s.cfg.MaxRequest) + overhead
	if r.ContentLength > most {
		s.tooLarge(w)
		return
	}
	message, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		s.tooLarge(w)
		return
	}
	if err != nil {
		s.refuse(w, "read", http.StatusBadRequest, "the message could not be read to its end")
		return
	}
	answer, err := s.answer(r.Context(), r.TLS.PeerCertificates[0].Subject.CommonName, message)
	if err != nil {
		s.cfg.Log.Error(err, "response could not be signed")
		s.refuse(w, "sign", http.StatusServiceUnavailable, "the response could not be signed")
		return
	}
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(answer) // a client that went away comes again
}

func (s *Server) tooLarge(w http.ResponseWriter) {
	s.refuse(w, "too-large", http.StatusRequestEntityTooLarge, fmt.Sprintf("bodies of at most %d bytes are taken", s.cfg.MaxRequest))
}

func (s *Server) refuse(w http.ResponseWriter, cause string, status int, text string) {
	s.cfg.Metrics.reject(cause)
	http.Error(w, s.cfg.Self+": "+text, status)
}

// errorLog takes what net/http has to say: handshakes that failed, for the most.
type errorLog struct{ s *Server }

func (e errorLog) Write(b []byte) (int, error) {
	text := strings.TrimSpace(string(b))
	handshake := strings.Contains(text, "TLS handshake error")
	if handshake && strings.HasSuffix(text, "EOF") { // a look whether the port is open
		return len(b), nil
	}
	if handshake {
		e.s.cfg.Metrics.reject("tls")
	}
	e.s.cfg.Log.Info("link server", "message", text)
	return len(b), nil
}
