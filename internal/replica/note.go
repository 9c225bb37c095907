package replica

import (
	"cmp"
	"errors"
	"maps"
	"slices"
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

// noteLeftOut keeps why lists are not pushed, each until the list of the same
// shard goes through again.
func (w *worker) noteLeftOut(leftOut map[shard]error, pushes []Push) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range pushes {
		if p.CRL != nil {
			delete(w.leftOut, shard{p.CRL.Issuer, p.CRL.Shard, p.CRL.IsDelta()})
		}
	}
	maps.Copy(w.leftOut, leftOut)
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
	if s.LastError == "" && w.refilling {
		s.State = CatchingUp
		s.LastError = "the ledger was restored from an older backup, or the replica is of an earlier release: the node is being filled anew, and serves what it holds"
	}
	failures := slices.SortedFunc(maps.Values(w.leftOut), func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	if err := errors.Join(append([]error{w.configErr}, failures...)...); s.LastError == "" && err != nil {
		s.LastError = err.Error()
	}
	return s
}
