// Package certificaterevocation reconciles CertificateRevocation (撤销, 冻结,
// 解冻): the CA carries the act out once ever, and publishes it.
package certificaterevocation

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/registration"
)

// Reconciler reconciles CertificateRevocation.
type Reconciler struct {
	Client client.Client
	Issuer registration.Issuer
}

// SetupWithManager registers the controller. An act that waits is looked at
// again when its RA changes.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).For(&pkiv1.CertificateRevocation{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Named("certificaterevocation").
		Watches(&pkiv1.RegistrationAuthority{}, step.EnqueueNeighbours(r.Client, &pkiv1.CertificateRevocationList{}, waitsFor)).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

func waitsFor(item, changed client.Object) bool {
	rev := item.(*pkiv1.CertificateRevocation)
	ref := rev.Spec.RegistrationAuthorityRef
	return ref != nil && !step.IsReady(rev) && policy.AuthorityKey(*ref, rev.Namespace) == client.ObjectKeyFromObject(changed)
}

// work is one act on its way through a reconcile.
type work struct {
	*Reconciler
	rev  *pkiv1.CertificateRevocation
	done authority.Performed
}

// Reconcile has the act carried out and published. What was done stays done.
func (r *Reconciler) Reconcile(ctx context.Context, rev *pkiv1.CertificateRevocation) (ctrl.Result, error) {
	if !rev.DeletionTimestamp.IsZero() || step.IsReady(rev) {
		return ctrl.Result{}, nil
	}
	w := &work{Reconciler: r, rev: rev}
	return step.Run(ctx, r.Client, rev, 0,
		step.Step{Condition: pkiv1.ConditionPerformed, Do: w.perform},
		step.Step{Condition: pkiv1.ConditionPublished, Do: w.publish})
}
