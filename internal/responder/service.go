// Package responder keeps the OCSP responders of a process: their keys, the
// short-lived certificates that the CAs issue to them, and what each serves. It
// runs from the specs that the ledger keeps, not from the API server.
package responder

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"github.com/go-logr/logr"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
)

// tick is how often the service looks for certificates that are due.
const tick = 5 * time.Second

// kind of the accepted specs and of the identities of responder certificates.
const kind = "ValidationService"

// keyGeneration of the responders' keys.
const keyGeneration = 1

// Spec is the accepted spec of one ValidationService.
type Spec struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	BaseURL   string `json:"baseURL"`
	// Device is "namespace/name" of the CryptoDevice that holds the responder's
	// key; empty when Nodes answer.
	Device string `json:"device"`
	// Nodes answer in place of this process, each with a key of its own.
	Nodes []Node `json:"nodes,omitempty"`
	// ResponderValidity of its certificates; a new one each third of it.
	ResponderValidity time.Duration `json:"responderValidity"`
	// ResponseValidity is nextUpdate - thisUpdate of a response.
	ResponseValidity time.Duration `json:"responseValidity"`
}

// ID is "namespace/name".
func (s Spec) ID() string { return s.Namespace + "/" + s.Name }

func (s Spec) owner() string { return kind + "/" + s.ID() }

// Equal says whether two specs say the same.
func (s Spec) Equal(other Spec) bool {
	nodes, others := s.Nodes, other.Nodes
	s.Nodes, other.Nodes = nil, nil
	return reflect.DeepEqual(s, other) && slices.Equal(nodes, others)
}

// Served is a CA key generation with the certificate it issued to the responder.
type Served struct {
	CA          *authority.CA
	Certificate *smx509.Certificate
	Signer      crypto.MessageSigner
}

// Service is the responders of a process. All methods may be used concurrently.
type Service struct {
	store       authority.Store
	authorities *authority.Service
	now         func() time.Time

	// OnChange hears what a service serves after each Ensure; set it before Run.
	OnChange func(Spec, []*Served) error

	mu     sync.RWMutex
	specs  map[string]Spec                            // by ID
	served map[string]map[authority.IssuerKey]*Served // by ID, with the node's name behind it for a node
	failed map[string]error                           // of nodes, as served
	keys   map[string]nodeKeys                        // by node
}

// New returns a service without responders; Load brings the accepted ones.
func New(store authority.Store, authorities *authority.Service, now func() time.Time) *Service {
	return &Service{store: store, authorities: authorities, now: now, specs: map[string]Spec{}, served: map[string]map[authority.IssuerKey]*Served{}, failed: map[string]error{}, keys: map[string]nodeKeys{}}
}

// Load takes up the accepted specs of the ledger.
func (s *Service) Load(ctx context.Context) error {
	all, err := s.store.AllAccepted(ctx, kind+"/")
	if err != nil {
		return fmt.Errorf("load accepted validation services: %w", err)
	}
	for _, a := range all {
		var spec Spec
		if err := json.Unmarshal(a.Spec, &spec); err != nil {
			return fmt.Errorf("decode accepted validation service %s: %w", a.Name, err)
		}
		s.mu.Lock()
		s.specs[spec.ID()] = spec
		s.mu.Unlock()
	}
	return nil
}

// Accept makes spec that of the service, durably; the same again writes nothing.
func (s *Service) Accept(ctx context.Context, spec Spec) error {
	s.mu.RLock()
	old, known := s.specs[spec.ID()]
	s.mu.RUnlock()
	if known && old.Equal(spec) {
		return nil
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encode validation service %s: %w", spec.ID(), err)
	}
	if err := s.store.Accept(ctx, authority.Accepted{Name: spec.owner(), Spec: b}); err != nil {
		return fmt.Errorf("accept validation service %s: %w", spec.ID(), err)
	}
	s.mu.Lock()
	s.specs[spec.ID()] = spec
	s.mu.Unlock()
	return nil
}

// Specs returns every accepted spec.
func (s *Service) Specs() []Spec {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Spec, 0, len(s.specs))
	for _, spec := range s.specs {
		out = append(out, spec)
	}
	return out
}

// Served returns what a service answers for now.
func (s *Service) Served(id string) []*Served {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*Served, 0, len(s.served[id]))
	for _, v := range s.served[id] {
		out = append(out, v)
	}
	return out
}

// Run renews the responder certificates that are due until ctx ends.
func (s *Service) Run(ctx context.Context, log logr.Logger) error {
	failed := map[string]bool{}
	retry := map[string]backoff{}
	for {
		for _, spec := range s.Specs() {
			if time.Now().Before(retry[spec.ID()].until) {
				continue
			}
			err := s.Ensure(ctx, spec.ID())
			retry[spec.ID()] = retry[spec.ID()].next(err)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil && !failed[spec.ID()]:
				log.Error(err, "responder certificate is not renewed; trying on", "validationService", spec.ID())
			case err == nil && failed[spec.ID()]:
				log.Info("responder certificate is renewed again", "validationService", spec.ID())
			}
			failed[spec.ID()] = err != nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tick):
		}
	}
}

// backoff keeps a device that signs badly from costing a serial on each look.
type backoff struct {
	wait  time.Duration
	until time.Time
}

// maxWait between two attempts that fail.
const maxWait = 10 * time.Minute

func (b backoff) next(err error) backoff {
	if err == nil {
		return backoff{}
	}
	wait := min(max(2*b.wait, tick), maxWait)
	return backoff{wait: wait, until: time.Now().Add(wait)}
}

// Ensure has every CA that names the service issue it a certificate, unless
// the present one is of this window. It goes on to the next CA after an error.
func (s *Service) Ensure(ctx context.Context, id string) error {
	s.mu.RLock()
	spec, ok := s.specs[id]
	s.mu.RUnlock()
	if !ok {
		return fmt.Errorf("validation service %s is not accepted: %w", id, authority.ErrNotFound)
	}
	if len(spec.Nodes) > 0 {
		s.mu.Lock()
		delete(s.served, id) // of a time when this process answered
		s.mu.Unlock()
		return s.changed(spec) // Configure asks for certificates, when a node has told its key
	}
	signer, _, err := s.authorities.EnsureKey(ctx, spec.owner(), keyGeneration, spec.Device)
	if err != nil {
		// CRLs and CA certificates need no key: they are served all the same.
		return errors.Join(err, s.changed(spec))
	}
	public, err := pki.SignerPublicKey(signer)
	if err != nil {
		return errors.Join(err, s.changed(spec))
	}
	err = s.ensureAll(ctx, holder{spec: spec, public: public, signer: signer})
	return errors.Join(err, s.changed(spec))
}

// changed tells OnChange what the service serves now.
func (s *Service) changed(spec Spec) error {
	if s.OnChange == nil {
		return nil
	}
	return s.OnChange(spec, s.Served(spec.ID()))
}
