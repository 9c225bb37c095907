package publishing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/authority"
)

// Config of a Service. Store, Changed and Open are required.
type Config struct {
	Store authority.Store
	// Changed returns a channel that is closed when the feed has more; it is
	// asked for before the feed is read.
	Changed func() <-chan struct{}
	// Open makes the connection to a master.
	Open    Opener
	Metrics *Metrics         // default: not registered anywhere
	Now     func() time.Time // default time.Now
}

// Service publishes to the masters of all accepted directories. All methods may
// be used concurrently.
type Service struct {
	config Config
	// changed has one element when Run is to look at the specs again.
	changed chan struct{}

	// accepting is held while the specs that the ledger keeps are changed.
	accepting sync.Mutex

	mu      sync.RWMutex
	specs   map[string]Spec    // by ID
	targets map[string]*target // that Run runs, by ID
}

// New returns a service without directories; Load brings the accepted ones.
func New(c Config) *Service {
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{config: c, changed: make(chan struct{}, 1), specs: map[string]Spec{}, targets: map[string]*target{}}
}

// Load takes up the accepted specs of the ledger.
func (s *Service) Load(ctx context.Context) error {
	all, err := s.config.Store.AllAccepted(ctx, kind+"/")
	if err != nil {
		return fmt.Errorf("load accepted directories: %w", err)
	}
	for _, a := range all {
		var spec Spec
		if err := json.Unmarshal(a.Spec, &spec); err != nil {
			return fmt.Errorf("decode accepted directory %s: %w", a.Name, err)
		}
		if err := spec.Validate(); err != nil {
			return fmt.Errorf("accepted directory %s: %w", a.Name, err)
		}
		s.mu.Lock()
		s.specs[spec.ID()] = spec
		s.mu.Unlock()
	}
	s.lookAgain()
	return nil
}

// Accept makes spec that of its directory, durably; the same again writes
// nothing. Slaves are left out: they are the pusher's. An OverlapError says that
// another directory, which is not retired, has its entries there.
func (s *Service) Accept(ctx context.Context, spec Spec) error {
	spec.Slaves, spec.Retired = nil, false
	if err := spec.Validate(); err != nil {
		return err
	}
	s.accepting.Lock()
	defer s.accepting.Unlock()
	for _, other := range s.all() {
		if err := Overlap(spec, []Server{spec.Master}, other, []Server{other.Master}); err != nil {
			return fmt.Errorf("accept directory %s: %w", spec.ID(), err)
		}
	}
	return s.accept(ctx, spec)
}

// Retire ends the work for a directory whose object is gone, durably: its
// entries stay as they are, to be taken over by another. To accept its spec
// again takes it up again. One that is not known is none.
func (s *Service) Retire(ctx context.Context, id string) error {
	s.accepting.Lock()
	defer s.accepting.Unlock()
	s.mu.RLock()
	spec, known := s.specs[id]
	s.mu.RUnlock()
	if !known {
		return nil
	}
	spec.Retired = true
	return s.accept(ctx, spec)
}

func (s *Service) all() map[string]Spec {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.specs)
}

// accept is called under accepting.
func (s *Service) accept(ctx context.Context, spec Spec) error {
	next, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode directory %s: %w", spec.ID(), err)
	}
	s.mu.RLock()
	old, known := s.specs[spec.ID()]
	s.mu.RUnlock()
	if known {
		if before, err := json.Marshal(old); err == nil && bytes.Equal(before, next) {
			return nil
		}
	}
	if err := s.config.Store.Accept(ctx, authority.Accepted{Name: spec.acceptedName(), Spec: next}); err != nil {
		return fmt.Errorf("accept directory %s: %w: %w", spec.ID(), ErrLedger, err)
	}
	s.mu.Lock()
	s.specs[spec.ID()] = spec
	s.mu.Unlock()
	s.lookAgain()
	return nil
}

func (s *Service) lookAgain() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Status says how the master of a directory stands; ok is false when Run does
// not publish to it.
func (s *Service) Status(id string) (status ServerStatus, ok bool) {
	if t := s.target(id); t != nil {
		return t.currentStatus(), true
	}
	return ServerStatus{}, false
}

// Wake has a directory tried at once, as after its password was changed.
func (s *Service) Wake(id string) {
	if t := s.target(id); t != nil {
		t.wake()
	}
}

func (s *Service) target(id string) *target {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.targets[id]
}

// Run publishes until ctx ends.
func (s *Service) Run(ctx context.Context, log logr.Logger) error {
	running := map[string]func(){} // by ID: stops and waits
	defer func() {
		for _, stop := range running {
			stop()
		}
	}()
	for {
		outdated := s.outdated()
		for id := range outdated { // first: there is to be one writer, of another directory too
			if stop := running[id]; stop != nil {
				stop()
				delete(running, id)
			}
		}
		for id, spec := range outdated {
			if spec.Retired {
				s.mu.Lock()
				delete(s.targets, id)
				s.mu.Unlock()
				continue
			}
			t, err := newTarget(spec, s.config, log.WithValues("directory", id))
			if err != nil { // its spec was validated
				log.Error(err, "directory is not published", "directory", id)
				continue
			}
			s.mu.Lock()
			s.targets[id] = t
			s.mu.Unlock()
			running[id] = start(ctx, t)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		}
	}
}

// outdated returns the specs that Run does not run yet.
func (s *Service) outdated() map[string]Spec {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[string]Spec{}
	for id, spec := range s.specs {
		if t := s.targets[id]; (t == nil && !spec.Retired) || (t != nil && !t.runs(spec)) {
			out[id] = spec
		}
	}
	return out
}

// start runs a target; the function that it returns stops it and waits.
func start(ctx context.Context, t *target) func() {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { t.runPublish(ctx) })
	group.Go(func() { t.runVerify(ctx) })
	return func() {
		cancel()
		group.Wait()
		t.close()
	}
}
