// Package certificateprofile reconciles CertificateProfile (证书模板): it says
// whether a profile can be used.
package certificateprofile

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/profile"
	"github.com/terrace-pki/terrace/controllers/step"
)

// Reconciler reconciles CertificateProfile.
type Reconciler struct {
	Client client.Client
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).For(&pkiv1.CertificateProfile{}).Named("certificateprofile").
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile validates the profile.
func (r *Reconciler) Reconcile(ctx context.Context, p *pkiv1.CertificateProfile) (ctrl.Result, error) {
	return step.Run(ctx, r.Client, p, 0, step.Step{Condition: pkiv1.ConditionValid, Do: func(context.Context) error {
		if _, err := profile.FromSpec(p.Name, p.Spec); err != nil {
			return step.Stalled(pkiv1.ReasonInvalidSpec, "%v", err)
		}
		return nil
	}})
}
