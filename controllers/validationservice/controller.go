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
	"github.com/terrace-pki/terrace/controllers/deletion"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/responder"
)

// checkInterval is how often a service that is well is looked at.
const checkInterval = 30 * time.Second

// Reconciler reconciles ValidationService.
type Reconciler struct {
	Client      client.Client
	Responders  *responder.Service
	Authorities *authority.Service
	// Nodes says how spec.nodes stand; nil in a process that pushes to none.
	Nodes Nodes
}

// Nodes is what pushes to the nodes; its one implementation outside tests is replica.Sender.
type Nodes interface {
	Status(node string) (replica.NodeStatus, bool)
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
	guarded, err := deletion.Guard(ctx, r.Client, v, v.Spec.DeletionPolicy, deletion.ValidationService(r.Authorities, time.Now, v.Namespace+"/"+v.Name))
	if err != nil || guarded.Gone {
		return ctrl.Result{}, err // the answers go on from the ledger
	}
	return step.Run(ctx, r.Client, v, checkInterval, append([]step.Step{
		{Condition: pkiv1.ConditionSpecAccepted, Do: func(ctx context.Context) error { return r.accept(ctx, v) }},
		{Condition: pkiv1.ConditionNodesPushed, Do: func(context.Context) error { return r.nodesPushed(v) }},
		{Condition: pkiv1.ConditionResponderReady, Do: func(ctx context.Context) error { return r.ensureResponder(ctx, v) }}}, guarded.Held...)...)
}

func (r *Reconciler) accept(ctx context.Context, v *pkiv1.ValidationService) error {
	spec := responder.Spec{Namespace: v.Namespace, Name: v.Name, BaseURL: v.Spec.BaseURL,
		ResponderValidity: v.Spec.ResponderValidity.Duration, ResponseValidity: v.Spec.ResponseValidity.Duration}
	for _, n := range v.Spec.Nodes { // they have devices of their own
		spec.Nodes = append(spec.Nodes, responder.Node{Name: n.Name, URL: n.URL})
	}
	if ref := v.Spec.DeviceRef; ref != nil {
		var dev pkiv1.CryptoDevice
		if err := r.Client.Get(ctx, client.ObjectKey{Namespace: v.Namespace, Name: ref.Name}, &dev); err != nil {
			if apierrors.IsNotFound(err) {
				return step.Waiting(pkiv1.ReasonReferenceNotFound, "CryptoDevice %q is not there", ref.Name)
			}
			return err
		}
		spec.Device = v.Namespace + "/" + ref.Name
	}
	if err := r.Responders.Accept(ctx, spec); err != nil {
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	return nil
}

func (r *Reconciler) ensureResponder(ctx context.Context, v *pkiv1.ValidationService) error {
	id := v.Namespace + "/" + v.Name
	var err error
	if len(v.Spec.Nodes) > 0 {
		var served int // the sender asks for the certificates; see responder.Configure
		served, err = r.Responders.CheckNodes(id)
		v.Status.ServedAuthorities = int32(served)
	} else {
		err = r.Responders.Ensure(ctx, id)
		v.Status.ServedAuthorities = int32(len(r.Responders.Served(id)))
	}
	switch {
	case errors.Is(err, authority.ErrBusy), errors.Is(err, responder.ErrNodePending):
		return step.Waiting(pkiv1.ReasonProgressing, "%v", err)
	case errors.Is(err, authority.ErrKeyMissing), errors.Is(err, authority.ErrKeyMismatch), errors.Is(err, device.ErrMadeOutside):
		return &step.NotReady{Reason: pkiv1.ReasonKeyMissing, Message: err.Error(), Stalled: true, RequeueAfter: time.Minute}
	case errors.Is(err, device.ErrUnavailable):
		return step.Waiting(pkiv1.ReasonDeviceUnavailable, "%v", err)
	case errors.Is(err, authority.ErrRestored):
		return step.Waiting(pkiv1.ReasonLedgerRestored, "%v", err)
	case errors.Is(err, authority.ErrPaused):
		return step.Waiting(pkiv1.ReasonIssuancePaused, "%v", err)
	case err != nil:
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	case v.Status.ServedAuthorities == 0:
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "no Ready CA has a validationServiceRef to %q", v.Name)
	}
	return nil
}
