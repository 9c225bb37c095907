package pushing

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/publishing"
)

// ErrMaster: the master, not the slave, is the trouble.
var ErrMaster = errors.New("master of the directory")

// watchInterval is how often metrics, drift and the log follow the pusher.
const watchInterval = time.Second

// run is one directory that is pushed.
type run struct {
	spec        publishing.Spec
	metrics     *publishing.Metrics
	log         logr.Logger
	pusher      *directory.Pusher
	connections []publishing.Connection

	mu     sync.Mutex
	slaves []slave // in the order of the spec
}

// slave is what a run adds to the pusher's status.
type slave struct {
	status publishing.ServerStatus
	// base is the drift of earlier runs of this process; counted, how much of the
	// pusher's own the metric has; compared, how much the comparison before left.
	base, counted, compared int64
	wrong                   bool // was logged
}

func newRun(spec publishing.Spec, c Config, turn chan struct{}, cursors string, before *run, log logr.Logger) (r *run, err error) {
	r = &run{spec: spec, metrics: c.Metrics, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	master, err := r.open(c.Open, spec.Master, true)
	if err != nil {
		return r, err
	}
	config := directory.PusherConfig{Base: spec.Base, Master: masterServer{master}, MasterConnections: master.Connections, Turn: turn, Interval: c.Interval, CompareInterval: spec.VerifyInterval,
		Cursors: cursorFiles{dir: cursors, spec: spec}}
	for _, server := range spec.Slaves {
		conn, err := r.open(c.Open, server, false)
		if err != nil {
			return r, err
		}
		config.Slaves = append(config.Slaves, directory.Slave{Name: server.Name, Server: conn, Connections: conn.Connections})
		r.slaves = append(r.slaves, slave{base: before.drift(server.Name), status: publishing.ServerStatus{Name: server.Name, State: publishing.CatchingUp}})
	}
	before.forget(spec)
	r.pusher, err = directory.NewPusher(config)
	return r, err
}

func (r *run) open(open publishing.Opener, s publishing.Server, withLog bool) (publishing.Connection, error) {
	conn, err := open(s, withLog)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", s.Name, err)
	}
	r.connections = append(r.connections, conn)
	return conn, nil
}

func (r *run) runs(spec publishing.Spec) bool { return reflect.DeepEqual(r.spec, spec) }

func (r *run) close() error {
	var failures []error
	for _, c := range r.connections {
		failures = append(failures, c.Close())
	}
	return errors.Join(failures...)
}

// drift is what a slave's drift was in an earlier run, which may be nil.
func (r *run) drift(name string) int64 {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slaves {
		if s.status.Name == name {
			return s.status.DriftTotal
		}
	}
	return 0
}

// forget removes the metrics of slaves that are in no spec any more.
func (r *run) forget(next publishing.Spec) {
	if r == nil {
		return
	}
	kept := map[string]bool{}
	for _, s := range next.Slaves {
		kept[s.Name] = true
	}
	for _, s := range r.spec.Slaves {
		if !kept[s.Name] {
			r.metrics.Remove(r.spec.ID(), s.Name)
		}
	}
}

// watch follows the pusher until ctx ends.
func (r *run) watch(ctx context.Context) {
	for {
		r.look()
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchInterval):
		}
	}
}

func (r *run) currentStatus() []publishing.ServerStatus {
	r.look()
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]publishing.ServerStatus, len(r.slaves))
	for i, s := range r.slaves {
		all[i] = s.status
	}
	return all
}

func (r *run) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, now := range r.pusher.Status() {
		s := &r.slaves[i]
		total := now.Drift.Total()
		if now.LastCompare.After(s.status.VerifiedAt) {
			s.status.Drift, s.compared, s.status.VerifiedAt = total-s.compared, total, now.LastCompare
		}
		s.status.DriftTotal = s.base + total
		s.status.Backlog, s.status.Lag, s.status.LastError = int64(now.Backlog), now.Lag, now.LastError
		s.status.State = publishing.StateOf(now.LastError, now.InSync, now.Lag)
		if s.status.State == publishing.Unreachable && errors.Is(now.LastError, ErrMaster) {
			s.status.State = publishing.CatchingUp // the slave itself may be well
		}
		if n := total - s.counted; n > 0 {
			r.metrics.AddDrift(r.spec.ID(), now.Name, n)
			r.log.Info("entries of the slave had been changed behind our back and were repaired", "slave", now.Name, "entries", n)
			s.counted = total
		}
		r.metrics.Set(r.spec.ID(), s.status)
		switch wrong := now.LastError != nil; {
		case wrong && !s.wrong:
			r.log.Error(now.LastError, "slave is not up to date; trying on", "slave", now.Name)
		case !wrong && s.wrong:
			r.log.Info("slave is up to date again", "slave", now.Name)
		}
		s.wrong = now.LastError != nil
	}
}

// masterServer marks the errors of the master, which come by way of a slave's round.
type masterServer struct{ server directory.Server }

func ofMaster(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrMaster, err)
}

// Get implements directory.Server.
func (m masterServer) Get(ctx context.Context, dns []string) ([]*directory.Entry, error) {
	entries, err := m.server.Get(ctx, dns)
	return entries, ofMaster(err)
}

// Walk implements directory.Server.
func (m masterServer) Walk(ctx context.Context, base string, yield func(directory.Entry) error) error {
	var stopped error
	err := m.server.Walk(ctx, base, func(e directory.Entry) error {
		stopped = yield(e)
		return stopped
	})
	if stopped != nil {
		return err
	}
	return ofMaster(err)
}

// Apply implements directory.Server. A pusher never writes the master.
func (m masterServer) Apply(context.Context, []directory.Change) error {
	return errors.New("a pusher does not write the master")
}

// Changes implements directory.Server.
func (m masterServer) Changes(ctx context.Context, after directory.Cursor, limit int) (directory.Log, error) {
	log, err := m.server.Changes(ctx, after, limit)
	return log, ofMaster(err)
}
