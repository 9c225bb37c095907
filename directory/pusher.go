package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Bounds of a Pusher.
const (
	// MaxSlaves bounds PusherConfig.Slaves.
	MaxSlaves = 32
	// maxPage is the most DNs that are read from the master's log at a time, and
	// so the largest Backlog that is reported.
	maxPage    = 10_000
	maxBackoff = time.Minute
	// suspectInterval is between comparisons of which a new connection, or an entry
	// that a slave refused, is the reason: connections may break often.
	suspectInterval = 10 * time.Minute
)

// Slave is a directory server that a pusher writes.
type Slave struct {
	// Name in status and errors.
	Name   string
	Server Server
	// Connections counts those made to the server; nil when that is not known. A
	// slave that is connected to again may have been restored from a backup.
	Connections func() int64
}

// Cursors keeps how far each slave is, so that a pusher that starts again can
// tell what changed on the master meanwhile from drift. Both methods may be
// called concurrently, with different slaves.
type Cursors interface {
	// Load returns the cursor that was saved last, empty for none.
	Load(slave string) (Cursor, error)
	Save(slave string, c Cursor) error
}

// PusherConfig is what a Pusher is made of.
type PusherConfig struct {
	// Base is the subtree that the slaves are to hold as the master does.
	Base   string
	Master Server
	// MasterConnections is as Slave.Connections. On a master that is connected to
	// again the log may not tell all, as when its clock was set back.
	MasterConnections func() int64
	Slaves            []Slave
	// Turn lets as many comparisons run at once as it has room for elements, over
	// all pushers that share it, since each holds many names in memory; nil: all.
	// A slave that waits for its turn is brought along from the log meanwhile.
	Turn chan struct{}
	// Interval between looks at the master's log; 1 s when zero.
	Interval time.Duration
	// CompareInterval between full comparisons; 1 h when zero. It is also how soon
	// changes arrive when the master keeps no log.
	CompareInterval time.Duration
	// Cursors may be nil: then the first comparison of a slave counts as loading it.
	Cursors Cursors
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// SlaveStatus says how a slave stands.
type SlaveStatus struct {
	Name string
	// InSync: it was compared with the master, and all later changes are on it.
	InSync bool
	// Lag is for how long the oldest change on the master waits for this slave;
	// zero when none does. Until the first comparison it is not known. Without a log
	// of changes it is the time since a comparison began, for that long one may wait.
	Lag time.Duration
	// Backlog is the number of entries that wait, at most 10,000, which then means "or more".
	Backlog int
	// Drift is what was found changed on the slave behind our back and repaired,
	// since the pusher was made. Without a log of changes it cannot be told from
	// lag, and stays zero.
	Drift Drift
	// Pushed is the number of entries written, since the pusher was made.
	Pushed int64
	// LastPush is when the slave was last known to be in sync; LastCompare when
	// the last full comparison ended.
	LastPush, LastCompare time.Time
	// Refused counts the entries that the slave did not take since the last
	// comparison began. They hold nothing up, and comparisons try them again.
	Refused int
	// LastError is nil when the last round was good and nothing is refused. It is
	// ErrFilling while entries that the master lacks are kept, as it is being filled.
	LastError error
}

// Pusher brings what the master holds to the slaves (下推). It stands beside the
// master; no slave ever connects to it or to the master.
//
// Each slave has a loop of its own: one that is slow or down does not hold up
// the others, and catches up from the master's log when it is back. When the
// log does not reach back, and periodically, master and slave are compared in
// full and the slave is repaired.
type Pusher struct {
	config  PusherConfig
	workers []*worker
}

// worker brings one slave along.
type worker struct {
	config PusherConfig
	slave  Slave
	round  sync.Mutex // one round at a time
	cursor Cursor     // empty until a comparison has ended
	loaded bool       // cursor was taken from Cursors
	links  links
	// comparing collects what a running comparison meets; nil without one.
	comparing *refusals
	suspectAt time.Time // when a comparison ended of which suspicion was the reason

	mu           sync.Mutex
	status       SlaveStatus
	pendingSince time.Time // zero when nothing waits
	refused      refusals
	unfilled     bool // the last comparison removed nothing, as the master is being filled
}

// NewPusher checks a configuration.
func NewPusher(c PusherConfig) (*Pusher, error) {
	if _, err := parseDN(c.Base); err != nil {
		return nil, fmt.Errorf("pusher: base: %w", err)
	}
	if c.Master == nil || len(c.Slaves) > MaxSlaves {
		return nil, fmt.Errorf("pusher: want a master and at most %d slaves", MaxSlaves)
	}
	if c.Interval < 0 || c.CompareInterval < 0 {
		return nil, errors.New("pusher: interval is negative")
	}
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	if c.CompareInterval == 0 {
		c.CompareInterval = time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Pusher{config: c}
	for i, s := range c.Slaves {
		if s.Name == "" || s.Server == nil || slices.ContainsFunc(c.Slaves[:i], func(o Slave) bool { return o.Name == s.Name }) {
			return nil, fmt.Errorf("pusher: slave %d: want a name of its own and a server", i+1)
		}
		p.workers = append(p.workers, &worker{config: c, slave: s, status: SlaveStatus{Name: s.Name}})
	}
	return p, nil
}

// Run pushes until ctx ends; failures are in the status and tried again.
func (p *Pusher) Run(ctx context.Context) {
	var group sync.WaitGroup
	for _, w := range p.workers {
		group.Go(func() { w.run(ctx) })
	}
	group.Wait()
}

// Status of all slaves, in the order of the configuration.
func (p *Pusher) Status() []SlaveStatus {
	all := make([]SlaveStatus, len(p.workers))
	for i, w := range p.workers {
		all[i] = w.currentStatus()
	}
	return all
}

// Push brings one slave up to date now, with a full comparison if one is due. The
// error is also that of an entry that the slave refuses.
func (p *Pusher) Push(ctx context.Context, slave string) error {
	return p.one(slave, func(w *worker) error { return w.push(ctx, false) })
}

// Compare brings one slave up to date and compares it with the master now.
func (p *Pusher) Compare(ctx context.Context, slave string) error {
	return p.one(slave, func(w *worker) error { return w.push(ctx, true) })
}

func (p *Pusher) one(slave string, do func(*worker) error) error {
	for _, w := range p.workers {
		if w.slave.Name == slave {
			if err := do(w); err != nil {
				return err
			}
			return w.currentStatus().LastError
		}
	}
	return fmt.Errorf("push to %q: no such slave", slave)
}

func (w *worker) run(ctx context.Context) {
	wait := w.config.Interval
	for {
		if err := w.push(ctx, false); err != nil {
			wait = min(maxBackoff, max(wait*2, time.Second))
		} else {
			wait = w.config.Interval
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (w *worker) currentStatus() SlaveStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.status
	if !w.pendingSince.IsZero() {
		s.Lag = max(0, w.config.Now().Sub(w.pendingSince))
	}
	return s
}

func (w *worker) update(change func(*SlaveStatus)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.status)
}
