package cryptodevice

import (
	"context"
	"sync"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// Follower opens the devices of a process that shares its ledger with one that
// leads. It writes nothing to the API: the status is the leading process's. A
// refused PIN is not tried again either, whichever of them met the refusal.
type Follower struct {
	Reconciler *Reconciler

	mu      sync.Mutex
	refused map[string]string // name → resourceVersion of the Secret
}

// SetupWithManager registers the controller.
func (f *Follower) SetupWithManager(mgr ctrl.Manager) error {
	return f.Reconciler.controller(mgr).Named("cryptodevice-follower").Complete(reconcile.AsReconciler(mgr.GetClient(), f))
}

// Reconcile opens the device and looks at it from time to time.
func (f *Follower) Reconcile(ctx context.Context, obj *pkiv1.CryptoDevice) (ctrl.Result, error) {
	name := obj.Namespace + "/" + obj.Name
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refused[name] != "" {
		obj.Status.RefusedPINResourceVersion = f.refused[name]
	}
	err := f.Reconciler.ensureOpen(ctx, name, obj)
	f.Reconciler.Metrics.opened(name, err)
	if f.refused == nil {
		f.refused = map[string]string{}
	}
	f.refused[name] = obj.Status.RefusedPINResourceVersion
	if err != nil {
		ctrl.LoggerFrom(ctx).Info("the device does not work in this process; the leading one says more in its status", "reason", err.Error())
	}
	return ctrl.Result{RequeueAfter: checkInterval}, nil
}
