package replica

import (
	"errors"
	"time"
)

// note keeps how a round ended, and logs when that changed.
func (w *worker) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.seen
	if err == nil {
		w.seen.LastError = ""
		if before.LastError != "" {
			w.sender.c.Log.Info("validation node takes pushes again", "node", w.target.Name)
		}
		return
	}
	w.known = false
	w.seen.LastError = err.Error()
	w.seen.State = Unreachable
	w.seen.Backlog = max(w.head-w.node.Position, w.seen.Backlog)
	w.sender.c.Metrics.failures.WithLabelValues(w.target.Name).Inc()
	w.sender.c.Metrics.backlog.WithLabelValues(w.target.Name).Set(float64(w.seen.Backlog))
	if before.LastError == "" {
		w.sender.c.Log.Error(err, "push to validation node failed; trying on", "node", w.target.Name, "url", w.target.URL)
	}
}

// inStep notes that the node holds everything now.
func (w *worker) inStep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.State, w.inStepAt = InStep, w.sender.c.Now()
	w.seen.Backlog = max(w.head-w.node.Position, 0)
	w.sender.c.Metrics.backlog.WithLabelValues(w.target.Name).Set(float64(w.seen.Backlog))
}

// noteLeftOut keeps why a list was not pushed until lists go through again.
func (w *worker) noteLeftOut(err error, pushes []Push) {
	lists := false
	for _, p := range pushes {
		lists = lists || p.CRL != nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil || lists {
		w.leftOut = err
	}
}

func (w *worker) pushedAt() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.PushedAt
}

func (w *worker) status() NodeStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seen
	if s.State == InStep && s.Backlog > 0 && w.sender.c.Now().Sub(w.inStepAt) > inStepFor {
		s.State = CatchingUp
	}
	if err := errors.Join(w.configErr, w.leftOut); s.LastError == "" && err != nil {
		s.LastError = err.Error()
	}
	return s
}
