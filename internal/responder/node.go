package responder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/replica"
)

// Node is a validation process that answers for a service.
type Node struct {
	// Name in its transport certificate and in the peers files. One process that
	// answers for several services has one name.
	Name string `json:"name"`
	// URL of its push endpoint, https://host:port.
	URL string `json:"url"`
}

var _ replica.Source = (*Service)(nil)

// ErrNodePending: a node has not told its key since this process began.
var ErrNodePending = errors.New("the node has not told its key yet")

// nodeSpecs returns the accepted specs that have nodes, by ID.
func (s *Service) nodeSpecs() []Spec {
	specs := slices.DeleteFunc(s.Specs(), func(spec Spec) bool { return len(spec.Nodes) == 0 })
	slices.SortFunc(specs, func(a, b Spec) int { return cmp.Compare(a.ID(), b.ID()) })
	return specs
}

// Targets implements [replica.Source]. When two services give a node two URLs,
// that of the first by name counts; see CheckNodes.
func (s *Service) Targets() []replica.Target {
	var targets []replica.Target
	seen := map[string]bool{}
	for _, spec := range s.nodeSpecs() {
		for _, n := range spec.Nodes {
			if !seen[n.Name] {
				seen[n.Name] = true
				targets = append(targets, replica.Target{Name: n.Name, URL: n.URL})
			}
		}
	}
	slices.SortFunc(targets, func(a, b replica.Target) int { return cmp.Compare(a.Name, b.Name) })
	return targets
}

// Configure implements [replica.Source]. The caller has verified that the
// request is the node's.
func (s *Service) Configure(ctx context.Context, node string, request *replica.ResponderRequest) (replica.Config, error) {
	var c replica.Config
	var failures []error
	for _, spec := range s.nodeSpecs() {
		if !slices.ContainsFunc(spec.Nodes, func(n Node) bool { return n.Name == node }) {
			continue
		}
		err := s.certifyNode(ctx, spec, node, request)
		s.mu.Lock()
		s.failed[holderID(spec.ID(), node)] = err
		s.mu.Unlock()
		if err != nil {
			failures = append(failures, fmt.Errorf("validation service %s: %w", spec.ID(), err))
		}
		c.Services = append(c.Services, s.describe(spec, node))
	}
	return c, errors.Join(failures...)
}

// certifyNode has the CAs certify the key that the node asks for.
func (s *Service) certifyNode(ctx context.Context, spec Spec, node string, request *replica.ResponderRequest) error {
	if request == nil {
		return fmt.Errorf("node %s: %w; its device may be away", node, ErrNodePending)
	}
	csr, err := pki.ParseRequestDER(request.CSR)
	if err != nil {
		return fmt.Errorf("node %s: read its request: %w", node, err)
	}
	if err := csr.VerifyPossession(); err != nil {
		return fmt.Errorf("node %s: its request: %w", node, err)
	}
	public, err := csr.SM2PublicKey()
	if err != nil {
		return fmt.Errorf("node %s: its request: %w", node, err)
	}
	spki, err := pki.MarshalSPKI(public)
	if err == nil {
		err = s.admitKey(node, spki)
	}
	if err != nil {
		return fmt.Errorf("node %s: its request: %w", node, err)
	}
	if err := s.ensureAll(ctx, holder{spec: spec, node: node, public: public}); err != nil {
		return fmt.Errorf("node %s: %w", node, err)
	}
	return nil
}

// describe is what a node is to know of a service.
func (s *Service) describe(spec Spec, node string) replica.Service {
	v := replica.Service{ID: spec.ID(), BaseURL: spec.BaseURL, ResponseValidity: spec.ResponseValidity}
	for _, ca := range s.authorities.All() {
		if ca.Validation != spec.ID() {
			continue
		}
		a := replica.Authority{Key: ca.Key, Certificate: ca.Certificate, Chain: ca.Chain}
		if served := s.current(holderID(spec.ID(), node), ca.Key); served != nil {
			a.Responder = served.Certificate.Raw
		}
		v.Authorities = append(v.Authorities, a)
	}
	return v
}

// CheckNodes says for how many CA key generations every node of a service has
// a certificate that is valid now, and what is in the way of the others.
func (s *Service) CheckNodes(id string) (served int, err error) {
	s.mu.RLock()
	spec, ok := s.specs[id]
	s.mu.RUnlock()
	if !ok {
		return 0, fmt.Errorf("validation service %s is not accepted: %w", id, authority.ErrNotFound)
	}
	var failures []error
	targets := s.Targets()
	for _, n := range spec.Nodes {
		if i := slices.IndexFunc(targets, func(t replica.Target) bool { return t.Name == n.Name }); i >= 0 && targets[i].URL != n.URL {
			failures = append(failures, fmt.Errorf("node %s: another validation service gives it the url %s, this one %s: give it one", n.Name, targets[i].URL, n.URL))
		}
		s.mu.RLock()
		known, failed := s.served[holderID(id, n.Name)], s.failed[holderID(id, n.Name)]
		s.mu.RUnlock()
		if failed == nil && known == nil {
			failed = fmt.Errorf("node %s: %w", n.Name, ErrNodePending)
		}
		if failed != nil {
			failures = append(failures, failed)
		}
	}
	for _, ca := range s.authorities.All() {
		if ca.Validation != id {
			continue
		}
		if !slices.ContainsFunc(spec.Nodes, func(n Node) bool { return !s.holdsValid(holderID(id, n.Name), ca.Key) }) {
			served++
		} else if len(failures) == 0 {
			failures = append(failures, fmt.Errorf("CA %s: %w", ca.Key.Authority, ErrNodePending))
		}
	}
	return served, errors.Join(failures...)
}

func (s *Service) holdsValid(holder string, ca authority.IssuerKey) bool {
	v := s.current(holder, ca)
	return v != nil && s.now().Before(v.Certificate.NotAfter)
}
