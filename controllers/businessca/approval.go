package businessca

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm3"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// kind in the ledger's identities and in Approvals.
const kind = "BusinessCA"

// approved verifies the officers' signatures itself: neither admission nor the
// API is believed. What was verified is recorded: an Approval that is deleted
// takes nothing back. A certificate that the ledger has needs no new approval.
func (r *Reconciler) approved(ctx context.Context, ca *pkiv1.BusinessCA, issuer string, digest [32]byte) error {
	if r.Limits == nil {
		return nil
	}
	bounds, ok := r.Limits.Subordinates(issuer)
	if !ok || bounds.Approvals == 0 {
		return nil // without an entry issuance itself is refused
	}
	known, err := r.Authorities.Find(ctx, authority.Identity{Kind: kind, Namespace: ca.Namespace, Name: ca.Name})
	switch {
	case err == nil && known.State == authority.StateIssued:
		return nil
	case err != nil && !errors.Is(err, authority.ErrNotFound):
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	target := sm3.Sum(registration.OfficerMessage(kind, ca.Namespace, ca.Name, digest, ""))
	if err := r.takeDecisions(ctx, ca, digest, target); err != nil {
		return err
	}
	decisions, err := r.Authorities.Decisions(ctx, target)
	if err != nil {
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	given := 0
	for _, d := range decisions {
		if _, still := r.Limits.Officer(d.Officer); !still {
			continue // no officer any more
		}
		if d.Denied {
			return step.Stalled(pkiv1.ReasonDenied, "officer %q denied: another attempt needs another name", d.Officer)
		}
		given++
	}
	if given < bounds.Approvals {
		return step.Waiting(pkiv1.ReasonAwaitingApproval, "%d of %d officers have signed requestDigest %s: kubectl terrace approve businessca/%s --officer NAME --key FILE",
			given, bounds.Approvals, hex.EncodeToString(digest[:]), ca.Name)
	}
	return nil
}

// takeDecisions records what the Approvals in the CA's namespace say, and says
// of each whether it was taken in.
func (r *Reconciler) takeDecisions(ctx context.Context, ca *pkiv1.BusinessCA, digest, target [32]byte) error {
	var all pkiv1.ApprovalList
	if err := r.Client.List(ctx, &all, client.InNamespace(ca.Namespace)); err != nil {
		return fmt.Errorf("list approvals: %w", err)
	}
	for i := range all.Items {
		a := all.Items[i].DeepCopy()
		if !decides(ca, a) {
			continue
		}
		_, err := step.Run(ctx, r.Client, a, 0, step.Step{Condition: pkiv1.ConditionTaken, Do: func(ctx context.Context) error { return r.take(ctx, a, ca, digest, target) }})
		if err != nil && !errors.Is(err, reconcile.TerminalError(nil)) { // a refused one is said in its own status
			return fmt.Errorf("take Approval %s: %w", a.Name, err)
		}
	}
	return nil
}

// take verifies one Approval and records it. Only signatures of officers whom
// this process knows count.
func (r *Reconciler) take(ctx context.Context, a *pkiv1.Approval, ca *pkiv1.BusinessCA, digest, target [32]byte) error {
	s := a.Spec.Signature
	if s == nil {
		return step.Stalled(pkiv1.ReasonSignatureInvalid, "spec.signature: is missing; an officer must sign (kubectl terrace approve businessca/%s --officer NAME --key FILE)", ca.Name)
	}
	if a.Spec.RequestDigest != hex.EncodeToString(digest[:]) {
		return step.Stalled(pkiv1.ReasonDigestMismatch, "spec.requestDigest: the CA has %s; decide anew", hex.EncodeToString(digest[:]))
	}
	pub, known := r.Limits.Officer(s.Officer)
	if !known {
		return step.Stalled(pkiv1.ReasonSignatureInvalid, "spec.signature.officer: %q is no officer in the limits file of the process beside the key", s.Officer)
	}
	message := registration.OfficerMessage(kind, ca.Namespace, ca.Name, digest, registration.Decision(a.Spec.Decision))
	if err := registration.VerifyOfficer(pub, message, s.Value); err != nil {
		return step.Stalled(pkiv1.ReasonSignatureInvalid, "spec.signature: %v", err)
	}
	key, err := pki.MarshalSPKI(pub)
	if err != nil {
		return step.Failed(pkiv1.ReasonSignatureInvalid, err)
	}
	d := authority.Decision{Officer: s.Officer, Denied: a.Spec.Decision == pkiv1.DecisionDeny, Signature: s.Value, Message: message, PublicKey: key}
	recorded, err := r.Authorities.RecordDecision(ctx, target, d)
	switch {
	case err != nil:
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	case recorded.Denied != d.Denied:
		return step.Stalled(pkiv1.ReasonAlreadyDecided, "officer %q decided otherwise before; the first decision stays", s.Officer)
	}
	return nil
}

// decides says whether an Approval in the namespace of a BusinessCA is about it.
func decides(ca, approval client.Object) bool {
	t := approval.(*pkiv1.Approval).Spec.TargetRef
	return ca.GetNamespace() == approval.GetNamespace() && t.Kind == kind && t.Name == ca.GetName() && (t.Namespace == "" || t.Namespace == ca.GetNamespace())
}
