package validation

import (
	"context"
	"errors"
	"net/http"
)

// CheckpointPath is where the newest checkpoint of the audit log is, on the listener of all services.
const CheckpointPath = "/audit/checkpoint"

// Checkpoints returns the text of the newest checkpoint of the audit log, or ErrNotFound.
type Checkpoints func(ctx context.Context) ([]byte, error)

// serveCheckpoint answers with a signed note, which says by itself who made it.
func (s *Server) serveCheckpoint(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	text, err := s.checkpoint(ctx, r)
	if err != nil {
		if errors.Is(err, errMethod) {
			w.Header().Set("Allow", allowed[kindOther])
		}
		s.refuse(w, kindOther, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(text) // a client that went away hears nothing
	s.metrics.observe(kindOther, "ok", 0)
}

func (s *Server) checkpoint(ctx context.Context, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, errMethod
	}
	text, err := s.checkpoints(ctx)
	if err != nil {
		return nil, readError("audit checkpoint", err)
	}
	return text, nil
}
