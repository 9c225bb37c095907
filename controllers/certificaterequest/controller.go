// Package certificaterequest reconciles CertificateRequest (证书申请): the RA's
// policy, the approvals of people, then issuance by the CA.
package certificaterequest

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// concurrency of the controller: requests of one CA share the device.
const concurrency = 4

// Reconciler reconciles CertificateRequest.
type Reconciler struct {
	Client client.Client
	Issuer registration.Issuer
	Store  registration.Store
	// Metrics that count what waits for people; nil counts nothing.
	Metrics *Metrics
}

// SetupWithManager registers the controller. Requests that wait are looked at
// again when their RA changes, or an Approval about them.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if r.Metrics != nil {
		if err := mgr.Add(&counter{client: mgr.GetClient(), metrics: r.Metrics, every: countInterval}); err != nil {
			return err
		}
	}
	return ctrl.NewControllerManagedBy(mgr).For(&pkiv1.CertificateRequest{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Named("certificaterequest").
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency}).
		Watches(&pkiv1.RegistrationAuthority{}, step.EnqueueNeighbours(r.Client, &pkiv1.CertificateRequestList{}, waitsFor)).
		Watches(&pkiv1.Approval{}, handler.EnqueueRequestsFromMapFunc(decidedBy)).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

func waitsFor(item, changed client.Object) bool {
	req := item.(*pkiv1.CertificateRequest)
	return !step.IsReady(req) && policy.AuthorityKey(req.Spec.RegistrationAuthorityRef, req.Namespace) == client.ObjectKeyFromObject(changed)
}

// decidedBy is the request that an Approval is about.
func decidedBy(_ context.Context, changed client.Object) []reconcile.Request {
	ref := changed.(*pkiv1.Approval).Spec.TargetRef
	if ref.Kind != policy.KindCertificateRequest {
		return nil
	}
	if ref.Namespace == "" {
		ref.Namespace = changed.GetNamespace()
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}}}
}

// work is one request on its way through a reconcile.
type work struct {
	*Reconciler
	req    *pkiv1.CertificateRequest
	parsed *pki.Request
	target registration.Target
	app    registration.Application

	ra       client.ObjectKey // RA that the request names
	issuer   string           // CA that the RA names
	required int              // approvals that the RA asks for
	issued   *registration.Issued
}

// Reconcile judges the request and has it issued. What was issued or denied stays so.
func (r *Reconciler) Reconcile(ctx context.Context, req *pkiv1.CertificateRequest) (ctrl.Result, error) {
	if !req.DeletionTimestamp.IsZero() || isFinal(req) {
		return ctrl.Result{}, nil
	}
	w := &work{Reconciler: r, req: req}
	return step.Run(ctx, r.Client, req, 0,
		step.Step{Condition: pkiv1.ConditionPolicyPassed, Do: w.judge},
		step.Step{Condition: pkiv1.ConditionApproved, Do: w.approve},
		step.Step{Condition: pkiv1.ConditionIssued, Do: w.issue})
}

func isFinal(req *pkiv1.CertificateRequest) bool {
	for _, condition := range []string{pkiv1.ConditionPolicyPassed, pkiv1.ConditionApproved} {
		if c := meta.FindStatusCondition(req.Status.Conditions, condition); c != nil && c.Reason == pkiv1.ReasonDenied {
			return true
		}
	}
	return step.IsReady(req)
}

// notFound turns a missing reference into something to wait for.
func notFound(err error, kind, name string) error {
	if apierrors.IsNotFound(err) {
		return step.Waiting(pkiv1.ReasonReferenceNotFound, "%s %q is not there", kind, name)
	}
	return fmt.Errorf("read %s %q: %w", kind, name, err)
}
