// Package registrationauthority reconciles RegistrationAuthority (注册机构):
// whether its CA and profiles are there and its name rules hold.
package registrationauthority

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/controllers/step"
)

// Reconciler reconciles RegistrationAuthority.
type Reconciler struct {
	Client client.Client
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	list := &pkiv1.RegistrationAuthorityList{}
	return ctrl.NewControllerManagedBy(mgr).For(&pkiv1.RegistrationAuthority{}).Named("registrationauthority").
		Watches(&pkiv1.BusinessCA{}, step.EnqueueNeighbours(r.Client, list, func(item, changed client.Object) bool {
			return item.GetNamespace() == changed.GetNamespace() && item.(*pkiv1.RegistrationAuthority).Spec.BusinessCARef.Name == changed.GetName()
		})).
		Watches(&pkiv1.CertificateProfile{}, step.EnqueueNeighbours(r.Client, list, func(item, changed client.Object) bool {
			return item.GetNamespace() == changed.GetNamespace()
		})).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile checks the rules and the references.
func (r *Reconciler) Reconcile(ctx context.Context, ra *pkiv1.RegistrationAuthority) (ctrl.Result, error) {
	return step.Run(ctx, r.Client, ra, 0, step.Step{Condition: pkiv1.ConditionValid, Do: func(ctx context.Context) error { return r.validate(ctx, ra) }})
}

func (r *Reconciler) validate(ctx context.Context, ra *pkiv1.RegistrationAuthority) error {
	if _, err := policy.FromAuthority(ra); err != nil {
		return step.Stalled(pkiv1.ReasonInvalidSpec, "spec.%v", err)
	}
	for _, name := range ra.Spec.AllowedProfiles {
		if err := r.ready(ctx, ra.Namespace, name, "CertificateProfile", &pkiv1.CertificateProfile{}); err != nil {
			return err
		}
	}
	return r.ready(ctx, ra.Namespace, ra.Spec.BusinessCARef.Name, "BusinessCA", &pkiv1.BusinessCA{})
}

func (r *Reconciler) ready(ctx context.Context, namespace, name, kind string, obj step.Object) error {
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj); err != nil {
		if apierrors.IsNotFound(err) {
			return step.Waiting(pkiv1.ReasonReferenceNotFound, "%s %q is not there", kind, name)
		}
		return err
	}
	if !step.IsReady(obj) {
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "%s %q is not Ready", kind, name)
	}
	return nil
}
