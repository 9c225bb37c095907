package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/internal/pki"
)

// Pauses of a worker.
const (
	// minWait before a node that failed is tried again; it doubles.
	minWait = 500 * time.Millisecond
	// configInterval is how often the configuration is looked at while nothing
	// says that it changed: responder certificates come due by time.
	configInterval = 5 * time.Second
	// maxConfigWait keeps a CA's device that signs badly from costing a serial on each look.
	maxConfigWait = 10 * time.Minute
	// positionInterval is how often the ledger is told a node's position, which
	// costs it a write.
	positionInterval = 5 * time.Second
)

// worker pushes to one node.
type worker struct {
	sender *Sender
	target Target
	remote Remote
	stop   func()
	woken  chan struct{}

	// Of run alone.
	node         Pushed // as the node said last
	known        bool   // node is what the node said last, not since a failure
	downs        int    // times in a row that the node's position went down
	refilledAt   time.Time
	config       Config // what the node is to serve
	configAt     time.Time
	configWait   time.Duration
	kept         int64 // the position that the ledger was told
	keptAt       time.Time
	auditAt      time.Time // when the newest checkpoint was last asked for
	auditSent    []byte    // the checkpoint that the node answered to last
	auditRefused string
	auditNext    *AuditPush // what comes with the next push

	mu        sync.Mutex // guards what follows
	head      int64
	seen      NodeStatus
	inStepAt  time.Time
	configErr error
	leftOut   map[shard]error // lists that are not pushed
	refilling bool
}

func newWorker(s *Sender, t Target, stop func()) *worker {
	return &worker{sender: s, target: t, stop: stop, woken: make(chan struct{}, 1), leftOut: map[shard]error{}}
}

// saw notes that the ledger has changes up to head.
func (w *worker) saw(head int64) {
	w.mu.Lock()
	w.head = max(w.head, head)
	w.mu.Unlock()
	select {
	case w.woken <- struct{}{}:
	default: // it is awake
	}
}

func (w *worker) run(ctx context.Context) {
	wait := time.Duration(0)
	for {
		err := w.round(ctx)
		if ctx.Err() != nil {
			return
		}
		w.note(err)
		if err != nil {
			// It waits the pause out: a node that is down is not called for each change.
			wait = min(max(2*wait, minWait), w.sender.c.MaxWait)
			if !sleep(ctx, wait, nil) {
				return
			}
			continue
		}
		wait = 0
		if !sleep(ctx, min(w.sender.c.Heartbeat, configInterval), w.woken) {
			return
		}
	}
}

// sleep returns false when ctx has ended.
func sleep(ctx context.Context, d time.Duration, woken <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-woken:
	}
	return true
}

// round pushes until the node holds everything.
func (w *worker) round(ctx context.Context) error {
	if w.remote == nil {
		remote, err := w.sender.c.Dial(w.target)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", w.target.URL, err)
		}
		w.remote = remote
	}
	if !w.known {
		node, err := w.remote.State(ctx)
		if err != nil {
			return fmt.Errorf("ask for position: %w", err)
		}
		w.take(node)
	}
	head, downs := int64(0), w.downs
	for {
		var restored bool
		var err error
		// The head is read before the changes: a node that holds up to it knew
		// everything at this time.
		if head, restored, err = w.sender.compare(ctx, w.node.State); err != nil {
			return err
		}
		w.configure(ctx, false)
		w.lookAudit(ctx)
		if restored {
			if err := w.refill(ctx, head); err != nil {
				return err
			}
			continue
		}
		after := w.node.Position
		changes, next, err := w.sender.c.Feed.Changes(ctx, after, MaxChanges)
		if err != nil {
			return fmt.Errorf("read changes after %d: %w", after, err)
		}
		pushes, accepted, leftOut := batches(changes, after, next)
		w.noteLeftOut(leftOut, pushes)
		if accepted {
			w.configure(ctx, true)
		}
		if len(pushes) == 0 {
			break
		}
		for _, p := range pushes {
			p.Head = max(head, next)
			if back, err := w.push(ctx, p); err != nil {
				return err
			} else if back {
				break
			}
		}
	}
	for w.node.Refilling || !w.configured() || w.auditNext != nil || !w.sender.c.Now().Before(w.pushedAt().Add(w.sender.c.Heartbeat)) {
		if err := w.beat(ctx, head); err != nil {
			return err
		}
	}
	if w.downs == downs {
		w.downs = 0
	}
	w.inStep()
	w.keep(ctx)
	return nil
}

// take keeps what the node said and, when it has another key than before,
// has the configuration looked at.
func (w *worker) take(node Pushed) {
	if !sameKey(w.node.Request, node.Request) {
		w.configWait = 0 // though not at once, and the source bounds how many keys it certifies
	}
	w.node, w.known = node, true
	w.mu.Lock()
	w.refilling = node.Refilling
	w.mu.Unlock()
	w.sender.c.Metrics.position.WithLabelValues(w.target.Name).Set(float64(node.Position))
}

// sameKey says whether two requests are for one key; the same key may come with
// another signature each time.
func sameKey(a, b *ResponderRequest) bool {
	if a == nil || b == nil {
		return a == b
	}
	return bytes.Equal(a.CSR, b.CSR) || bytes.Equal(requestedKey(a), requestedKey(b))
}

// requestedKey is empty when the request cannot be read.
func requestedKey(r *ResponderRequest) []byte {
	csr, err := pki.ParseRequestDER(r.CSR)
	if err != nil {
		return nil
	}
	public, err := csr.SM2PublicKey()
	if err != nil {
		return nil
	}
	spki, err := pki.MarshalSPKI(public)
	if err != nil {
		return nil
	}
	return spki
}

// configured says whether the node holds the configuration.
func (w *worker) configured() bool { return bytes.Equal(w.node.Digest, w.config.Digest) }

// configure brings the configuration up to date when it is due.
func (w *worker) configure(ctx context.Context, now bool) {
	if !now && time.Since(w.configAt) < max(w.configWait, configInterval) {
		return
	}
	config, err := w.sender.c.Source.Configure(ctx, w.target.Name, w.node.Request)
	w.configAt, w.configWait = time.Now(), 0
	if err != nil {
		w.configWait = min(max(2*w.configWait, configInterval), maxConfigWait)
	}
	w.mu.Lock()
	w.configErr = err
	w.mu.Unlock()
	text, err := json.Marshal(config.Services)
	if err != nil {
		return // cannot be: the type has no values that JSON lacks
	}
	digest := sm3.Sum(text)
	w.config = Config{Digest: digest[:], Services: config.Services}
}

// push sends one batch, with the configuration when the node holds another one.
// back says that the node wants to go on from another number than the batch's end.
func (w *worker) push(ctx context.Context, p Push) (back bool, err error) {
	if !w.configured() {
		c := w.config
		// Greater than what the node holds, also when this clock was set back.
		c.Revision = max(w.node.Revision+1, time.Now().UnixNano())
		p.Config = &c
	}
	if err := w.place(ctx, &p); err != nil {
		return false, err
	}
	w.addAudit(&p)
	w.known = false // until it has answered: it may have taken the push all the same
	node, err := w.remote.Push(ctx, p)
	if err != nil {
		return false, fmt.Errorf("push after %d: %w", p.After, err)
	}
	w.take(node)
	back = node.Position != p.Next
	if back && node.Position < p.After && !p.Refill {
		if w.downs++; w.downs > 1 {
			w.known = false
			return true, fmt.Errorf("push after %d: the node's position went down to %d, for the %d. time in a row: its store loses what it confirmed; look at its disk", p.After, node.Position, w.downs)
		}
	}
	if back && node.Position >= p.After && node.Position < p.Next {
		w.known = false
		return true, fmt.Errorf("push after %d: the node answered position %d, want %d", p.After, node.Position, p.Next)
	}
	if !back && p.Config != nil && !w.configured() {
		return false, errors.New("push configuration: the node did not take it")
	}
	if p.Audit != nil {
		w.auditSent = p.Audit.Text
		w.noteAudit()
	}
	w.confirmed(p)
	w.keep(ctx)
	return back, nil
}

// place adds what the node is to keep with its position.
func (w *worker) place(ctx context.Context, p *Push) (err error) {
	if p.Next == 0 || p.Refill {
		return nil
	}
	if p.Ledger, err = w.sender.anchor(ctx, 1); err != nil {
		return err
	}
	p.Anchor, err = w.sender.anchor(ctx, p.Next)
	return err
}

// confirmed notes what the node holds now.
func (w *worker) confirmed(p Push) {
	name, now := w.target.Name, w.sender.c.Now()
	w.mu.Lock()
	w.seen.PushedAt = now
	w.head = max(w.head, p.Head)
	if w.seen.State != InStep {
		w.seen.State = CatchingUp
	}
	w.seen.Backlog = max(w.head-w.node.Position, 0)
	backlog := w.seen.Backlog
	w.mu.Unlock()
	m := w.sender.c.Metrics
	m.backlog.WithLabelValues(name).Set(float64(backlog))
	m.pushedAt.WithLabelValues(name).Set(float64(now.Unix()))
	m.changes.WithLabelValues(name).Add(float64(len(p.Changes)))
}

// keep tells the ledger the node's position. The node's own counts: this one is
// for people.
func (w *worker) keep(ctx context.Context) {
	if w.node.Position == w.kept || time.Since(w.keptAt) < positionInterval {
		return
	}
	w.keptAt = time.Now()
	if err := w.sender.c.Feed.SetPosition(ctx, consumer(w.target.Name), w.node.Position); err != nil {
		if ctx.Err() == nil {
			w.sender.c.Log.Error(err, "position of node is not kept", "node", w.target.Name)
		}
		return
	}
	w.kept = w.node.Position
}
