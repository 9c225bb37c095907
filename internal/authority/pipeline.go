package authority

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Defaults of a Pipeline.
const (
	// defaultSlices in flight of one CA: while one waits for the disk, the next
	// is prepared and signed.
	defaultSlices = 2
	// defaultWaiting bounds the orders that wait or are in flight, of all CAs.
	defaultWaiting = 16 * MaxSlice
)

// PipelineConfig of a Pipeline; zero values are the defaults.
type PipelineConfig struct {
	// Slices of one CA that are in flight at once.
	Slices int
	// Waiting bounds the orders that were taken and are not answered; who comes
	// when it is full waits.
	Waiting int
}

// Pipeline gathers the orders of many callers into slices, so that they share
// commits: the one way by which certificates of every source are issued.
//
// An order that finds the CA idle starts at once, alone. Those that come while
// slices are in flight gather, and go together when the first of them ends: no
// order waits for longer than a slice takes, and no timer is needed. The order
// of the cycle is that of [Service.Issue]. All methods may be used concurrently.
type Pipeline struct {
	service *Service
	slices  int
	room    chan struct{} // one element for each order that is taken

	mu    sync.Mutex
	lanes map[IssuerKey]*lane
	known map[identityName]*ticket // orders that are taken, by name
}

// lane is the orders of one CA.
type lane struct {
	waiting []*ticket
	running int
}

// ticket is an order that was taken, and its answer.
type ticket struct {
	order   Order
	done    chan struct{} // closed when outcome and err are there
	outcome Outcome
	err     error // of the whole slice
}

type identityName struct{ kind, namespace, name string }

func nameOf(i Identity) identityName { return identityName{i.Kind, i.Namespace, i.Name} }

// NewPipeline returns a pipeline into the service's cycle.
func NewPipeline(s *Service, c PipelineConfig) *Pipeline {
	if c.Slices < 1 {
		c.Slices = defaultSlices
	}
	if c.Waiting < 1 {
		c.Waiting = defaultWaiting
	}
	return &Pipeline{service: s, slices: c.Slices, room: make(chan struct{}, c.Waiting), lanes: map[IssuerKey]*lane{}, known: map[identityName]*ticket{}}
}

// Issue has orders of one CA issued and returns an Outcome for each, in their
// order. The error of an order's slice (store or device unavailable: try again) is in its
// Outcome. It waits while the pipeline is full. When ctx ends it returns, and
// what was taken is carried on: the same order again finds its certificate.
func (p *Pipeline) Issue(ctx context.Context, key IssuerKey, orders []Order) ([]Outcome, error) {
	tickets := make([]*ticket, len(orders))
	for i, o := range orders {
		t, err := p.take(ctx, key, o)
		if err != nil {
			return nil, err
		}
		tickets[i] = t
	}
	outcomes := make([]Outcome, len(orders))
	for i, t := range tickets {
		select {
		case <-t.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for issuance: %w", ctx.Err())
		}
		outcomes[i] = t.outcome
		if t.err != nil {
			outcomes[i].Err = t.err
		}
	}
	return outcomes, nil
}

// Drain waits until nothing is in flight, and keeps the pipeline closed from
// then on: at a graceful stop no signed certificate is left unrecorded.
func (p *Pipeline) Drain(ctx context.Context) error {
	for range cap(p.room) {
		select {
		case p.room <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("wait for what is being issued: %w", ctx.Err())
		}
	}
	return nil
}

// take puts an order into its CA's lane, once there is room. The same order that
// is there already is shared.
func (p *Pipeline) take(ctx context.Context, key IssuerKey, o Order) (*ticket, error) {
	select {
	case p.room <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for room in the pipeline: %w", ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.known[nameOf(o.Identity)]; t != nil {
		<-p.room
		if t.order.Identity != o.Identity {
			return nil, fmt.Errorf("issue %s %s/%s: %w", o.Identity.Kind, o.Identity.Namespace, o.Identity.Name, ErrBusy)
		}
		return t, nil
	}
	t := &ticket{order: o, done: make(chan struct{})}
	p.known[nameOf(o.Identity)] = t
	l := p.lanes[key]
	if l == nil {
		l = &lane{}
		p.lanes[key] = l
	}
	l.waiting = append(l.waiting, t)
	if l.running < p.slices {
		l.running++
		go p.run(key, l)
	}
	return t, nil
}

// run takes slices of a lane through the cycle until none waits. What was taken
// does not depend on its caller any more: the service's own timeouts bound it.
func (p *Pipeline) run(key IssuerKey, l *lane) {
	for {
		p.mu.Lock()
		n := min(len(l.waiting), MaxSlice)
		slice := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		if n == 0 {
			l.waiting = nil // the array behind it is not kept
			l.running--
		}
		p.mu.Unlock()
		if n == 0 {
			return
		}
		p.issue(key, slice)
	}
}

func (p *Pipeline) issue(key IssuerKey, slice []*ticket) {
	orders := make([]Order, len(slice))
	for i, t := range slice {
		orders[i] = t.order
	}
	outcomes, err := p.service.Issue(context.Background(), key, orders)
	if errors.Is(err, ErrBusy) && len(slice) > 1 {
		// Somebody who does not use the pipeline has one of them in hand: the
		// others must not wait for that.
		middle := len(slice) / 2
		p.issue(key, slice[:middle])
		p.issue(key, slice[middle:])
		return
	}
	p.mu.Lock()
	for _, t := range slice {
		delete(p.known, nameOf(t.order.Identity))
	}
	p.mu.Unlock()
	for i, t := range slice {
		if i < len(outcomes) {
			t.outcome = outcomes[i]
		}
		// An outcome with a certificate stands, whatever became of the others.
		if err != nil && t.outcome.Record.State != StateIssued {
			t.err = err
		}
		close(t.done)
		<-p.room
	}
}
