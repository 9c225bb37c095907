package directory

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/publishing"
)

// Master hands a Directory's spec to the service beside the ledger, and shows
// how the LDAP master stands.
type Master struct {
	Client     client.Client
	Publishing *publishing.Service
	Passwords  *publishing.Passwords
	Now        func() time.Time

	once   sync.Once
	writer *writer
}

// SetupWithManager registers the controller.
func (r *Master) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).For(&pkiv1.Directory{}).Named("directory-master").
		Watches(&corev1.Secret{}, step.EnqueueNeighbours(r.Client, &pkiv1.DirectoryList{}, refersTo)).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile accepts the spec and applies condition MasterPublished with the
// master's entry in status.servers.
func (r *Master) Reconcile(ctx context.Context, d *pkiv1.Directory) (ctrl.Result, error) {
	if !d.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // what was published stays, and is kept up
	}
	r.once.Do(func() { r.writer = &writer{client: r.Client, owner: OwnerMaster, now: r.Now} })
	spec := specOf(d)
	secret := r.takePassword(ctx, spec)
	var next pkiv1.DirectoryStatus
	blocked := r.accept(ctx, spec)
	if blocked == nil {
		status, ok := r.Publishing.Status(spec.ID())
		if !ok {
			status = publishing.ServerStatus{Name: spec.Master.Name, State: publishing.CatchingUp}
		}
		next.Servers = append(next.Servers, serverStatus(roleMaster, status))
		if blocked = notReady(status); blocked != nil && secret != nil {
			blocked = secret
		}
	}
	next.Conditions = append(next.Conditions, conditionOf(d, pkiv1.ConditionMasterPublished, blocked))
	err := r.writer.write(ctx, d, next, func(s pkiv1.DirectoryStatus) pkiv1.DirectoryStatus {
		return part(s, roleMaster, pkiv1.ConditionMasterPublished)
	})
	return ctrl.Result{RequeueAfter: checkInterval}, err
}

// takePassword says why the bind password is not known, if it is not.
func (r *Master) takePassword(ctx context.Context, spec publishing.Spec) *step.NotReady {
	changed, err := readPassword(ctx, r.Client, r.Passwords, spec.Master.Password)
	if changed {
		r.Publishing.Wake(spec.ID())
	}
	if err != nil {
		return step.Waiting(pkiv1.ReasonReferenceNotFound, "spec.master.passwordSecretRef: %v", err)
	}
	return nil
}

func (r *Master) accept(ctx context.Context, spec publishing.Spec) *step.NotReady {
	if err := spec.Validate(); err != nil {
		return step.Stalled(pkiv1.ReasonInvalidSpec, "%v", err)
	}
	return notAccepted(take(ctx, r.Client,
		func() error { return r.Publishing.Accept(ctx, spec) },
		func(id string) error { return r.Publishing.Retire(ctx, id) }))
}
