package authority

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
)

// Decision is an officer's about a subordinate CA, whose signature was verified.
type Decision struct {
	Officer string `json:"officer"`
	// Denied: the officer is against it. The first decision of an officer stays.
	Denied bool `json:"denied,omitempty"`
	// Signature is the officer's, SM2, over Message; both are kept with the key that
	// verified it, DER SubjectPublicKeyInfo, for those who audit.
	Signature []byte `json:"signature"`
	Message   []byte `json:"message"`
	PublicKey []byte `json:"publicKey"`
}

// CheckDecision verifies the signature in a spec that is an officer's decision,
// with the officer's key among people, or the one that was kept; of another spec it is nil.
func CheckDecision(a Accepted, people audit.People) error {
	rest, ok := strings.CutPrefix(a.Name, decisionKind)
	if !ok {
		return nil
	}
	var d Decision
	if err := json.Unmarshal(a.Spec, &d); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	verdict := "Approve"
	if d.Denied {
		verdict = "Deny"
	}
	if _, officer, _ := strings.Cut(rest, "/"); officer != d.Officer || !bytes.HasSuffix(d.Message, []byte(verdict)) {
		return fmt.Errorf("says officer %q and %s, which is not what was signed", d.Officer, verdict)
	}
	own, err := pki.ParseSM2SPKI(d.PublicKey)
	if err != nil {
		return fmt.Errorf("public key of the officer: %w", err)
	}
	pub, err := people.Key(d.Officer, own)
	if err != nil {
		return err
	}
	if !pki.VerifySignature(pub, d.Message, d.Signature) {
		return fmt.Errorf("signature of officer %q does not verify", d.Officer)
	}
	return nil
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

// decisionKind begins the names of decisions among the accepted specs.
const decisionKind = "Decision/"

func decisionPrefix(target [32]byte) string {
	return decisionKind + hex.EncodeToString(target[:]) + "/"
}
