package replica

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Defaults of a SenderConfig.
const (
	// defaultPoll is how often the feed is looked at without being told.
	defaultPoll = time.Second
	// defaultHeartbeat is how often a node that misses nothing is pushed to, so
	// that it can say how old its knowledge is.
	defaultHeartbeat = 10 * time.Second
	// defaultMaxWait is the longest pause between attempts to reach a node.
	defaultMaxWait = 30 * time.Second
)

// Target is a node to push to.
type Target struct{ Name, URL string }

// Source says who is pushed to and what they are to serve. Its one
// implementation outside tests is responder.Service.
type Source interface {
	// Targets returns the nodes of every accepted service, each name once.
	Targets() []Target
	// Configure returns what a node is to serve, with certificates for the key
	// that it asks for (request is nil while its device is away). Revision and Digest are left to the caller. The
	// configuration is good also beside an error: then certificates are missing.
	Configure(ctx context.Context, node string, request *ResponderRequest) (Config, error)
}

// Remote is a node as the sender reaches it; see Node for the methods. Errors
// that are no answer of the node mean that it is unreachable.
type Remote interface {
	State(ctx context.Context) (Pushed, error)
	Push(ctx context.Context, p Push) (Pushed, error)
}

// SenderConfig of a Sender. Feed, Changed, Source and Dial are required.
type SenderConfig struct {
	Feed authority.Feed
	// Changed returns a channel that is closed when further changes got
	// numbers: that is when a node is pushed to. authority.Service has it.
	Changed func() <-chan struct{}
	Source  Source
	// Dial returns the remote of a target without connecting.
	Dial func(Target) (Remote, error)
	// Audit returns the newest checkpoint of the audit log for a node that holds one
	// over so many leaves, 0 for none; nil: none are pushed.
	Audit   func(ctx context.Context, held int64) (*AuditPush, error)
	Metrics *SenderMetrics // default: not registered anywhere
	Log     logr.Logger
	Now     func() time.Time // default time.Now; of the times in Status alone

	// Poll, Heartbeat and MaxWait are set by tests; see their defaults.
	Poll, Heartbeat, MaxWait time.Duration
}

// Sender pushes to every node, each in its own pace. It works from the ledger
// alone and goes on while the API server is away.
type Sender struct {
	c SenderConfig

	mu    sync.Mutex
	nodes map[string]*worker
}

// NewSender returns a sender; Run starts it.
func NewSender(c SenderConfig) *Sender {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Metrics == nil {
		c.Metrics = NewSenderMetrics(nil)
	}
	for d, otherwise := range map[*time.Duration]time.Duration{&c.Poll: defaultPoll, &c.Heartbeat: defaultHeartbeat, &c.MaxWait: defaultMaxWait} {
		if *d <= 0 {
			*d = otherwise
		}
	}
	return &Sender{c: c, nodes: map[string]*worker{}}
}

// Run pushes until ctx ends. A push under way is cut off then: the node says
// afterwards whether it took it.
func (s *Sender) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	head, failed := int64(-1), false
	for {
		s.follow(ctx, &running)
		changed := s.c.Changed()
		next, err := s.c.Feed.Head(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failed:
			s.c.Log.Error(err, "changes cannot be read; trying on")
		case err == nil && failed:
			s.c.Log.Info("changes can be read again")
		}
		failed = err != nil
		if err == nil && next != head {
			head = next
			s.wake(head)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(s.c.Poll):
		}
	}
}

// follow starts a worker for each target that has none, and stops those of
// targets that are gone or moved.
func (s *Sender) follow(ctx context.Context, running *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]bool{}
	for _, t := range s.c.Source.Targets() {
		wanted[t.Name] = true
		if w := s.nodes[t.Name]; w != nil && w.target == t {
			continue
		} else if w != nil {
			w.stop()
		}
		workerCtx, stop := context.WithCancel(ctx)
		w := newWorker(s, t, stop)
		s.nodes[t.Name] = w
		running.Go(func() { w.run(workerCtx) })
	}
	for name, w := range s.nodes {
		if !wanted[name] {
			w.stop()
			delete(s.nodes, name)
			s.c.Metrics.forget(name)
		}
	}
}

func (s *Sender) wake(head int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.nodes {
		w.saw(head)
	}
}

// Status says how a node stands; false when it is no target.
func (s *Sender) Status(node string) (NodeStatus, bool) {
	s.mu.Lock()
	w := s.nodes[node]
	s.mu.Unlock()
	if w == nil {
		return NodeStatus{}, false
	}
	return w.status(), true
}

// consumer is the node's name in the feed's positions, which are for people: a
// node's own position is the truth.
func consumer(node string) string { return "validation/" + node }
