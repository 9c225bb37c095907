package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// checkTimeout bounds one readiness check.
const checkTimeout = 3 * time.Second

// health answers /healthz, /readyz and /metrics. It does not depend on the API
// server, as the controllers do.
type health struct {
	mu     sync.Mutex
	checks map[string]func(context.Context) error
	notes  []func() string
}

func newHealth() *health { return &health{checks: map[string]func(context.Context) error{}} }

// need makes a check one of readiness, in place of an earlier one of its name.
func (h *health) need(name string, check func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = check
}

// tell adds a line to the answer of readiness that decides nothing.
func (h *health) tell(note func() string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notes = append(h.notes, note)
}

// ready says for each check whether it passes.
func (h *health) ready(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	names := make([]string, 0, len(h.checks))
	checks := make(map[string]func(context.Context) error, len(h.checks))
	for n, c := range h.checks {
		names, checks[n] = append(names, n), c
	}
	notes := h.notes
	h.mu.Unlock()
	sort.Strings(names)
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	var b strings.Builder
	failed := false
	for _, n := range names {
		if err := checks[n](ctx); err != nil {
			failed = true
			fmt.Fprintf(&b, "[-] %s: %v\n", n, err)
			continue
		}
		fmt.Fprintf(&b, "[+] %s\n", n)
	}
	for _, note := range notes {
		fmt.Fprintf(&b, "[i] %s\n", note())
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if failed {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write([]byte(b.String())) // the prober went away
}

// serve listens on the addresses of p until ctx ends.
func (h *health) serve(p Process) ([]func(context.Context) error, error) {
	var services []func(context.Context) error
	if p.HealthAddress != "" {
		mux := http.NewServeMux()
		mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
		mux.HandleFunc("/readyz", h.ready)
		s, err := listen("--health-address", p.HealthAddress, mux)
		if err != nil {
			return nil, err
		}
		services = append(services, s)
	}
	if p.MetricsAddress != "" {
		mux := http.NewServeMux()
		mux.Handle("/metrics", promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{}))
		s, err := listen("--metrics-address", p.MetricsAddress, mux)
		if err != nil {
			return nil, err
		}
		services = append(services, s)
	}
	return services, nil
}

// listen returns a service that serves until its context ends.
func listen(flag, addr string, handler http.Handler) (func(context.Context) error, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return func(ctx context.Context) error {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
		stop := context.AfterFunc(ctx, func() {
			end, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			_ = server.Shutdown(end) // what still hangs is cut off with the process
		})
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("%s: %w", flag, err)
		}
		return nil
	}, nil
}
