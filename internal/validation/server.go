package validation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
)

// Bounds of the server.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 2 * time.Minute // a CRL of some MiB over a slow line
	idleTimeout       = time.Minute
	maxHeaderBytes    = 16 << 10 // a GET has the request in its path
	maxConnections    = 2048
	shutdownTimeout   = 10 * time.Second

	// DefaultConcurrency of downloads.
	DefaultConcurrency = 256
	maxServices        = 256
)

// ServerConfig of a Server.
type ServerConfig struct {
	// Concurrency bounds the downloads at a time; those above it get 503. OCSP
	// has none: connections and the length of a request are bounded here, and
	// look-ups and signatures in the responder, which sheds in OCSP's own words.
	// 0 means DefaultConcurrency.
	Concurrency int
	// Checkpoints serves the audit log's newest checkpoint; nil: there is none.
	Checkpoints Checkpoints
	Metrics     *Metrics
	Log         logr.Logger
}

// Server serves several validation services on one listener, each below its
// base path. All methods may be used concurrently, also while it serves.
type Server struct {
	metrics     *Metrics
	log         logr.Logger
	downloads   chan struct{}
	checkpoints Checkpoints

	mu       sync.Mutex // for writers of services
	services atomic.Pointer[[]service]
}

type service struct {
	id      string
	handler *Handler
}

// NewServer returns a server without services: every path is 404 until Set.
func NewServer(c ServerConfig) *Server {
	n := c.Concurrency
	if n <= 0 {
		n = DefaultConcurrency
	}
	s := &Server{metrics: c.Metrics, log: c.Log, checkpoints: c.Checkpoints, downloads: make(chan struct{}, n)}
	if s.metrics == nil {
		s.metrics = NewMetrics(nil)
	}
	s.services.Store(new([]service))
	return s
}

// Set makes h the handler of the service id ("namespace/name"), in place of the
// one before. It refuses a base path that another service has.
func (s *Server) Set(id string, h *Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.without(id)
	if len(next) >= maxServices {
		return fmt.Errorf("set validation service %s: there are %d already", id, maxServices)
	}
	for _, other := range next {
		if other.handler.base == h.base {
			return fmt.Errorf("set validation service %s: base path %q is that of %s; give each a path of its own in baseURL", id, h.base, other.id)
		}
	}
	next = append(next, service{id, h})
	// The longest base first, so that /a/b is not taken for a part of /a.
	slices.SortFunc(next, func(a, b service) int { return cmp.Compare(len(b.handler.base), len(a.handler.base)) })
	s.services.Store(&next)
	return nil
}

// Remove takes the service id away; requests in progress end as they would.
func (s *Server) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.without(id)
	s.services.Store(&next)
}

func (s *Server) without(id string) []service {
	return slices.DeleteFunc(slices.Clone(*s.services.Load()), func(v service) bool { return v.id == id })
}

// ServeHTTP routes a request to the service below whose base its path is.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == CheckpointPath && s.checkpoints != nil {
		s.serveCheckpoint(w, r)
		return
	}
	for _, v := range *s.services.Load() {
		if !strings.HasPrefix(r.URL.Path, v.handler.base+"/") {
			continue
		}
		k, _ := split(r.URL.Path, v.handler.base)
		if k == kindOCSP {
			v.handler.ServeHTTP(w, r)
			return
		}
		select {
		case s.downloads <- struct{}{}:
			defer func() { <-s.downloads }()
			v.handler.ServeHTTP(w, r)
		default:
			s.refuse(w, k, errBusy)
		}
		return
	}
	s.refuse(w, kindOther, ErrNotFound)
}

func (s *Server) refuse(w http.ResponseWriter, k kind, err error) {
	p := problemOf(err)
	p.write(w)
	s.metrics.observe(k, p.result, 0)
}

// Serve accepts connections until ctx ends; then it closes the listener and
// gives requests in progress ten seconds to end. It returns nil after that.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(l, maxConnections)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve validation services: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := server.Shutdown(stop)
	<-served // http.ErrServerClosed
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Info("validation requests were cut off at shutdown", "after", shutdownTimeout.String())
		err = server.Close()
	}
	if err != nil {
		return fmt.Errorf("shut down validation services: %w", err)
	}
	return nil
}
