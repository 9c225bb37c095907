package authority

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Decision is an officer's about a subordinate CA, whose signature was verified.
type Decision struct {
	Officer string `json:"officer"`
	// Denied: the officer is against it. The first decision of an officer stays.
	Denied bool `json:"denied,omitempty"`
	// Signature is kept for those who audit.
	Signature []byte `json:"signature"`
}

// RecordDecision keeps an officer's decision about target, a digest of all that
// is decided, and returns what is recorded: the officer's first one. The object
// that carried it may go; the decision stays.
func (s *Service) RecordDecision(ctx context.Context, target [32]byte, d Decision) (Decision, error) {
	known, err := s.Decisions(ctx, target)
	if err != nil {
		return Decision{}, err
	}
	for _, k := range known {
		if k.Officer == d.Officer {
			return k, nil
		}
	}
	b, err := json.Marshal(d)
	if err != nil {
		return Decision{}, fmt.Errorf("encode decision of officer %s: %w", d.Officer, err)
	}
	if err := s.seen(s.store.Accept(ctx, Accepted{Name: decisionPrefix(target) + d.Officer, Spec: b})); err != nil {
		return Decision{}, fmt.Errorf("record decision of officer %s: %w", d.Officer, err)
	}
	return d, nil
}

// Decisions returns those about target, by officer.
func (s *Service) Decisions(ctx context.Context, target [32]byte) ([]Decision, error) {
	all, err := s.store.AllAccepted(ctx, decisionPrefix(target))
	if err != nil {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	decisions := make([]Decision, len(all))
	for i, a := range all {
		if err := json.Unmarshal(a.Spec, &decisions[i]); err != nil {
			return nil, fmt.Errorf("read decision %s: %w", a.Name, err)
		}
	}
	return decisions, nil
}

func decisionPrefix(target [32]byte) string { return "Decision/" + hex.EncodeToString(target[:]) + "/" }
