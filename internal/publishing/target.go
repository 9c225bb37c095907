package publishing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/authority"
)

const (
	// pollInterval bounds how long a change waits that no signal told of.
	pollInterval = 2 * time.Second
	// maxWait between two attempts that fail.
	maxWait = 30 * time.Second
	// pageSize is how many changes are read and confirmed at a time.
	pageSize = 500
	// probeInterval is how often an idle master is looked at.
	probeInterval = 30 * time.Second
)

// target is one directory that is published to.
type target struct {
	source
	spec    Spec
	changed func() <-chan struct{}
	now     func() time.Time
	metrics *Metrics
	log     logr.Logger

	conn      Connection
	publisher *directory.Publisher
	woken     chan struct{} // one element: try at once
	verifyNow chan struct{} // one element: a comparison may be due

	// publishing is held during one pass over the feed.
	publishing sync.Mutex
	started    bool // position, loaded and members were read
	// position in the feed, confirmed in the ledger.
	position int64
	loaded   []authority.IssuerKey // see progress

	mu         sync.Mutex
	status     ServerStatus
	waits      waiting
	inStep     bool  // was up to date once
	leaving    bool  // a CA is to be removed
	emptied    bool  // the master lacked its base entry, or its mark: it is to be compared now
	comparing  bool  // a comparison is running
	publishErr error // of the last pass over the feed
	verifyErr  error // of the last comparison
	refused    error // of a publication that the master does not take; cleared by a comparison
	reported   bool  // that something is wrong
	contacted  time.Time
}

func newTarget(spec Spec, c Config, log logr.Logger) (*target, error) {
	layout, err := spec.Layout()
	if err != nil {
		return nil, err
	}
	conn, err := c.Open(spec.Master, false)
	if err != nil {
		return nil, err
	}
	return &target{source: source{c.Store, spec.ID()}, spec: spec, changed: c.Changed, now: c.Now, metrics: c.Metrics, log: log,
		conn: conn, publisher: directory.NewPublisher(layout, conn), woken: make(chan struct{}, 1), verifyNow: make(chan struct{}, 1),
		status: ServerStatus{Name: spec.Master.Name, State: CatchingUp}}, nil
}

func (t *target) runs(spec Spec) bool { return reflect.DeepEqual(t.spec, spec) }

func (t *target) close() {
	if err := t.conn.Close(); err != nil {
		t.log.Info("connection to the master was not closed in order", "reason", err.Error())
	}
	t.metrics.Remove(t.spec.ID(), t.spec.Master.Name)
}

func (t *target) wake() { signal(t.woken) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// place names what of the spec decides about the entries: another server, or
// another layout, is filled from the feed's beginning.
func (t *target) place() string {
	s := t.spec
	return fingerprint(strings.Join([]string{s.Master.URL, s.Base, string(s.Naming), string(s.Audience)}, "\n"))
}

// consumer names the feed position, progressName what the ledger keeps beside it.
func (t *target) consumer() string     { return "directory/" + t.spec.ID() }
func (t *target) progressName() string { return "DirectoryProgress/" + t.spec.ID() }

// progress says what a position speaks of.
type progress struct {
	Place string `json:"place"`
	// Loaded are the CAs whose history the master holds up to the position, or
	// whose removal from it is not done yet.
	Loaded []authority.IssuerKey `json:"loaded"`
}

// runPublish follows the feed until ctx ends.
func (t *target) runPublish(ctx context.Context) {
	var wait time.Duration
	for {
		changed := t.changed() // before the feed is read, so that no signal is missed
		err := t.publish(ctx)
		if err == nil {
			err = t.probe(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		t.record(ctx, err)
		if err == nil {
			wait = 0
			select {
			case <-ctx.Done():
				return
			case <-changed:
			case <-t.woken:
			case <-time.After(pollInterval):
			}
			continue
		}
		wait = min(max(2*wait, time.Second), maxWait)
		if !t.pause(ctx, wait) {
			return
		}
	}
}

// pause waits before the next attempt; meanwhile the backlog that grows is shown.
func (t *target) pause(ctx context.Context, wait time.Duration) bool {
	until := time.After(wait)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.woken:
			return true
		case <-until:
			return true
		case <-time.After(pollInterval):
			t.measure(ctx)
		}
	}
}

// start reads how far the directory is.
func (t *target) start(ctx context.Context) error {
	position, err := t.store.Position(ctx, t.consumer())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLedger, err)
	}
	kept, err := t.store.AllAccepted(ctx, t.progressName())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLedger, err)
	}
	var p progress
	for _, a := range kept {
		if a.Name != t.progressName() {
			continue // of a directory whose name is longer
		}
		if err := json.Unmarshal(a.Spec, &p); err != nil {
			return fmt.Errorf("decode %s: %w", a.Name, err)
		}
	}
	t.position, t.loaded = position, p.Loaded
	if p.Place != t.place() {
		// Die between the two: it is done again.
		if err := t.moveTo(ctx, 0); err != nil {
			return err
		}
		if err := t.keepLoaded(ctx, nil); err != nil {
			return err
		}
	}
	t.confirmed(t.position)
	return t.takeMembers(ctx)
}

// probe asks the master for its base entry when nothing else was asked for some
// time, so that an idle directory shows that its master is away, or was emptied.
func (t *target) probe(ctx context.Context) error {
	t.mu.Lock()
	due := t.now().Sub(t.contacted) >= probeInterval
	t.mu.Unlock()
	if !due {
		return nil
	}
	entries, err := t.conn.Get(ctx, []string{t.spec.Base})
	if err != nil {
		return err
	}
	t.mu.Lock()
	// While it is compared its mark may well be missing: the comparison's end sets it.
	emptied := entries[0] == nil || (!directory.IsFilled(entries[0]) && !t.comparing)
	t.mu.Unlock()
	if emptied {
		t.refill()
	}
	t.contact()
	return nil
}

// refill has the master compared at once: it came back empty.
func (t *target) refill() {
	t.mu.Lock()
	t.emptied = true
	t.mu.Unlock()
	signal(t.verifyNow)
}

func (t *target) contact() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.contacted = t.now()
}

// publish brings the master to the end of the feed.
func (t *target) publish(ctx context.Context) error {
	t.publishing.Lock()
	defer t.publishing.Unlock()
	if !t.started {
		if err := t.start(ctx); err != nil {
			return err
		}
		t.started = true
	}
	for {
		changes, next, err := t.store.Changes(ctx, t.position, pageSize)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLedger, err)
		}
		if next == t.position {
			return nil
		}
		if slices.ContainsFunc(changes, func(c authority.Change) bool { return c.Kind == authority.ChangeAccepted }) {
			before := t.position
			if err := t.takeMembers(ctx); err != nil {
				return err
			}
			if t.position != before {
				continue // from the beginning, for a CA that has a history
			}
		}
		batch, err := t.publications(ctx, changes)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLedger, err)
		}
		if err := t.write(ctx, batch); err != nil {
			return err
		}
		// Die here: the page is published again, which writes nothing.
		if err := t.moveTo(ctx, next); err != nil {
			return err
		}
	}
}

func (t *target) moveTo(ctx context.Context, position int64) error {
	if err := t.store.SetPosition(ctx, t.consumer(), position); err != nil {
		return fmt.Errorf("%w: %w", ErrLedger, err)
	}
	t.position = position
	t.confirmed(position)
	return nil
}

// write publishes a batch. A publication that the master does not take must not
// hold up those behind it, revocations above all: it is reported, and tried again
// by the next comparison.
func (t *target) write(ctx context.Context, batch []directory.Publication) error {
	if len(batch) == 0 {
		return nil
	}
	n, err := t.publisher.Publish(ctx, batch)
	if n.Base {
		t.refill()
	}
	if err == nil {
		t.contact()
		return nil
	}
	if isOfServer(err) || ctx.Err() != nil {
		return err
	}
	for _, p := range batch {
		n, err := t.publisher.Publish(ctx, []directory.Publication{p})
		if n.Base {
			t.refill()
		}
		if isOfServer(err) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			t.mu.Lock()
			t.refused = err
			t.mu.Unlock()
		}
	}
	return nil
}

// isOfServer says whether an error is the server's as a whole, not one entry's.
func isOfServer(err error) bool {
	for _, e := range []error{directory.ErrUnavailable, directory.ErrCredentials, directory.ErrReferral, ErrNoPassword} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
