package businessca

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/emmansun/gmsm/sm3"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
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

// takeDecisions records what the Approvals in the CA's namespace say.
func (r *Reconciler) takeDecisions(ctx context.Context, ca *pkiv1.BusinessCA, digest, target [32]byte) error {
	var all pkiv1.ApprovalList
	if err := r.Client.List(ctx, &all, client.InNamespace(ca.Namespace)); err != nil {
		return fmt.Errorf("list approvals: %w", err)
	}
	for i := range all.Items {
		d, ok := r.decision(&all.Items[i], ca, digest)
		if !ok {
			continue
		}
		if err := r.Authorities.RecordDecision(ctx, target, d); err != nil {
			return step.Failed(pkiv1.ReasonStoreUnavailable, err)
		}
	}
	return nil
}

// decision reads one Approval; ok is false for what is about something else, or
// is not signed by an officer whom this process knows.
func (r *Reconciler) decision(a *pkiv1.Approval, ca *pkiv1.BusinessCA, digest [32]byte) (d authority.Decision, ok bool) {
	t, s := a.Spec.TargetRef, a.Spec.Signature
	if t.Kind != kind || t.Name != ca.Name || t.Namespace != "" && t.Namespace != ca.Namespace || s == nil || a.Spec.RequestDigest != hex.EncodeToString(digest[:]) {
		return d, false
	}
	pub, known := r.Limits.Officer(s.Officer)
	if !known {
		return d, false
	}
	message := registration.OfficerMessage(kind, ca.Namespace, ca.Name, digest, registration.Decision(a.Spec.Decision))
	if registration.VerifyOfficer(pub, message, s.Value) != nil {
		return d, false
	}
	return authority.Decision{Officer: s.Officer, Denied: a.Spec.Decision == pkiv1.DecisionDeny, Signature: s.Value}, true
}

// decides: an Approval in the namespace of a BusinessCA is about it.
func decides(item, changed client.Object) bool {
	t := changed.(*pkiv1.Approval).Spec.TargetRef
	return item.GetNamespace() == changed.GetNamespace() && t.Kind == kind && t.Name == item.GetName()
}
