// Package approval reconciles Approval (审核): it takes a person's decision
// about a CertificateRequest into the RA's store, once ever. Decisions about a
// BusinessCA are for the process beside the issuing key, which checks the
// officer's signature itself.
package approval

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/registration"
)

// Reconciler reconciles Approval.
type Reconciler struct {
	Client client.Client
	Store  registration.Store
}

// targetIndex finds the Approvals about a request without reading all of them.
const targetIndex = "spec.targetRef"

// SetupWithManager registers the controller. An Approval that waits is looked
// at again when its request changes.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(context.Background(), &pkiv1.Approval{}, targetIndex, func(o client.Object) []string {
		return []string{target(o.(*pkiv1.Approval)).String()}
	})
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&pkiv1.Approval{}, builder.WithPredicates(predicate.GenerationChangedPredicate{}, predicate.NewPredicateFuncs(aboutRequest))).
		Named("approval").
		Watches(&pkiv1.CertificateRequest{}, handler.EnqueueRequestsFromMapFunc(r.about)).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

func aboutRequest(o client.Object) bool {
	return o.(*pkiv1.Approval).Spec.TargetRef.Kind == policy.KindCertificateRequest
}

// target is the object that an Approval decides about.
func target(a *pkiv1.Approval) types.NamespacedName {
	ref := a.Spec.TargetRef
	if ref.Namespace == "" {
		ref.Namespace = a.Namespace
	}
	return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
}

// about are the Approvals of a request that are not taken in.
func (r *Reconciler) about(ctx context.Context, changed client.Object) []reconcile.Request {
	var list pkiv1.ApprovalList
	if err := r.Client.List(ctx, &list, client.MatchingFields{targetIndex: client.ObjectKeyFromObject(changed).String()}); err != nil {
		return nil // each is looked at again on its own interval
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if a := &list.Items[i]; aboutRequest(a) && !step.IsReady(a) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
		}
	}
	return requests
}

// Reconcile takes the decision in.
func (r *Reconciler) Reconcile(ctx context.Context, a *pkiv1.Approval) (ctrl.Result, error) {
	if !a.DeletionTimestamp.IsZero() || !aboutRequest(a) || step.IsReady(a) {
		return ctrl.Result{}, nil
	}
	return step.Run(ctx, r.Client, a, 0, step.Step{Condition: pkiv1.ConditionTaken, Do: func(ctx context.Context) error { return r.take(ctx, a) }})
}
