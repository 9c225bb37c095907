// Package validationservice reconciles ValidationService (证书查验服务系统): it
// accepts the spec for the responders, which run on without the API server.
package validationservice

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/responder"
)

// checkInterval is how often a service that is well is looked at.
const checkInterval = 30 * time.Second

// Reconciler reconciles ValidationService.
type Reconciler struct {
	Client      client.Client
	Responders  *responder.Service
	Authorities *authority.Service
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	list := &pkiv1.ValidationServiceList{}
	refers := func(item, changed client.Object) bool { return item.GetNamespace() == changed.GetNamespace() }
	return ctrl.NewControllerManagedBy(mgr).For(&pkiv1.ValidationService{}).Named("validationservice").
		Watches(&pkiv1.CryptoDevice{}, step.EnqueueNeighbours(r.Client, list, refers)).
		Watches(&pkiv1.IndustryCA{}, step.EnqueueNeighbours(r.Client, list, refers)).
		Watches(&pkiv1.BusinessCA{}, step.EnqueueNeighbours(r.Client, list, refers)).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile accepts the spec and has the CAs certify the responder.
func (r *Reconciler) Reconcile(ctx context.Context, v *pkiv1.ValidationService) (ctrl.Result, error) {
	if !v.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	return step.Run(ctx, r.Client, v, checkInterval,
		step.Step{Condition: pkiv1.ConditionSpecAccepted, Do: func(ctx context.Context) error { return r.accept(ctx, v) }},
		step.Step{Condition: pkiv1.ConditionResponderReady, Do: func(ctx context.Context) error { return r.ensureResponder(ctx, v) }})
}

func (r *Reconciler) accept(ctx context.Context, v *pkiv1.ValidationService) error {
	var dev pkiv1.CryptoDevice
	name := v.Spec.DeviceRef.Name
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: v.Namespace, Name: name}, &dev); err != nil {
		if apierrors.IsNotFound(err) {
			return step.Waiting(pkiv1.ReasonReferenceNotFound, "CryptoDevice %q is not there", name)
		}
		return err
	}
	err := r.Responders.Accept(ctx, responder.Spec{Namespace: v.Namespace, Name: v.Name, BaseURL: v.Spec.BaseURL, Device: v.Namespace + "/" + name,
		ResponderValidity: v.Spec.ResponderValidity.Duration, ResponseValidity: v.Spec.ResponseValidity.Duration})
	if err != nil {
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	return nil
}

func (r *Reconciler) ensureResponder(ctx context.Context, v *pkiv1.ValidationService) error {
	id := v.Namespace + "/" + v.Name
	err := r.Responders.Ensure(ctx, id)
	v.Status.ServedAuthorities = int32(len(r.Responders.Served(id)))
	switch {
	case errors.Is(err, authority.ErrBusy):
		return step.Waiting(pkiv1.ReasonProgressing, "%v", err)
	case errors.Is(err, authority.ErrKeyMissing), errors.Is(err, authority.ErrKeyMismatch):
		return &step.NotReady{Reason: pkiv1.ReasonKeyMissing, Message: err.Error(), Stalled: true, RequeueAfter: time.Minute}
	case errors.Is(err, device.ErrUnavailable):
		return step.Waiting(pkiv1.ReasonDeviceUnavailable, "%v", err)
	case errors.Is(err, authority.ErrPaused):
		return step.Waiting(pkiv1.ReasonIssuancePaused, "%v", err)
	case err != nil:
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	case v.Status.ServedAuthorities == 0:
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "no Ready CA has a validationServiceRef to %q", v.Name)
	}
	return nil
}
