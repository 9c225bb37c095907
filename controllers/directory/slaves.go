package directory

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/publishing"
	"github.com/terrace-pki/terrace/internal/pushing"
)

// Slaves hands a Directory's spec to the pusher, shows how the slaves stand, and
// sums up both parts in Ready.
type Slaves struct {
	Client    client.Client
	Pushing   *pushing.Service
	Passwords *publishing.Passwords
	Now       func() time.Time
	// WatchSecrets: this process may watch Secrets. Otherwise it gets each by its
	// name, every secretInterval.
	WatchSecrets bool

	once   sync.Once
	writer *writer

	mu   sync.Mutex
	read map[publishing.PasswordRef]secretRead
}

// secretInterval is how often a Secret is read that cannot be watched.
const secretInterval = 15 * time.Second

// secretRead is when a Secret was read and what that said.
type secretRead struct {
	at  time.Time
	err error
}

// SetupWithManager registers the controller.
func (r *Slaves) SetupWithManager(mgr ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr).For(&pkiv1.Directory{}).Named("directory-slaves")
	if r.WatchSecrets {
		b = b.Watches(&corev1.Secret{}, step.EnqueueNeighbours(r.Client, &pkiv1.DirectoryList{}, refersTo))
	}
	return b.Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile accepts the spec and applies SlavesPushed, Ready with Reconciling or
// Stalled, observedGeneration, and the slaves' entries in status.servers.
func (r *Slaves) Reconcile(ctx context.Context, d *pkiv1.Directory) (ctrl.Result, error) {
	if !d.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // what was pushed stays, and is kept up
	}
	r.once.Do(func() { r.writer = &writer{client: r.Client, owner: OwnerSlaves, now: r.Now} })
	spec := pusherSpecOf(d)
	secret := r.takePasswords(ctx, spec)
	var next pkiv1.DirectoryStatus
	blocked := r.accept(ctx, spec)
	if blocked == nil {
		var servers []pkiv1.DirectoryServerStatus
		servers, blocked = r.observe(spec)
		next.Servers = servers
		if blocked != nil && secret != nil {
			blocked = secret
		}
	}
	next.ObservedGeneration = d.Generation
	next.Conditions = append([]metav1.Condition{conditionOf(d, pkiv1.ConditionSlavesPushed, blocked)}, sumUp(d, blocked)...)
	err := r.writer.write(ctx, d, next, func(s pkiv1.DirectoryStatus) pkiv1.DirectoryStatus {
		own := part(s, roleSlave, pkiv1.ConditionSlavesPushed, pkiv1.ConditionReady, pkiv1.ConditionReconciling, pkiv1.ConditionStalled)
		own.ObservedGeneration = s.ObservedGeneration
		return own
	})
	return ctrl.Result{RequeueAfter: checkInterval}, err
}

// takePasswords reads the accounts' passwords, and says which one is not known.
func (r *Slaves) takePasswords(ctx context.Context, spec publishing.Spec) *step.NotReady {
	if len(spec.Slaves) == 0 {
		return nil
	}
	var why *step.NotReady
	anew := false
	for _, server := range append([]publishing.Server{spec.Master}, spec.Slaves...) {
		changed, err := r.readPassword(ctx, server.Password)
		anew = anew || changed
		if err != nil && why == nil {
			why = step.Waiting(pkiv1.ReasonReferenceNotFound, "passwordSecretRef of server %q: %v", server.Name, err)
		}
	}
	if anew {
		r.Pushing.Wake(spec.ID())
	}
	return why
}

func (r *Slaves) readPassword(ctx context.Context, ref publishing.PasswordRef) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, ok := r.read[ref]
	if ok && !r.WatchSecrets && r.Now().Sub(last.at) < secretInterval {
		return false, last.err
	}
	changed, err := readPassword(ctx, r.Client, r.Passwords, ref)
	if r.read == nil {
		r.read = map[publishing.PasswordRef]secretRead{}
	}
	r.read[ref] = secretRead{r.Now(), err}
	return changed, err
}

func (r *Slaves) accept(ctx context.Context, spec publishing.Spec) *step.NotReady {
	if err := spec.Validate(); err != nil {
		return step.Stalled(pkiv1.ReasonInvalidSpec, "%v", err)
	}
	return notAccepted(take(ctx, r.Client, func() error { return r.Pushing.Accept(spec) }, r.Pushing.Retire))
}

// observe returns each slave's state and the first that is not in step.
func (r *Slaves) observe(spec publishing.Spec) ([]pkiv1.DirectoryServerStatus, *step.NotReady) {
	known := map[string]publishing.ServerStatus{}
	all, _ := r.Pushing.Status(spec.ID())
	for _, s := range all {
		known[s.Name] = s
	}
	var servers []pkiv1.DirectoryServerStatus
	var blocked *step.NotReady
	for _, slave := range spec.Slaves {
		s, ok := known[slave.Name]
		if !ok {
			s = publishing.ServerStatus{Name: slave.Name, State: publishing.CatchingUp}
		}
		servers = append(servers, serverStatus(roleSlave, s))
		if why := notReady(s); why != nil && blocked == nil {
			blocked = why
		}
	}
	return servers, blocked
}

// sumUp makes Ready, and Reconciling or Stalled, of both parts; the master comes first.
func sumUp(d *pkiv1.Directory, slaves *step.NotReady) []metav1.Condition {
	blocked := slaves
	switch m := meta.FindStatusCondition(d.Status.Conditions, pkiv1.ConditionMasterPublished); {
	case m == nil || m.ObservedGeneration != d.Generation:
		blocked = step.Waiting(pkiv1.ReasonProgressing, "%s: waits for the process beside the ledger to take up this generation", pkiv1.ConditionMasterPublished)
	case m.Status != metav1.ConditionTrue:
		blocked = &step.NotReady{Reason: m.Reason, Message: fmt.Sprintf("%s: %s", m.Type, m.Message), Stalled: m.Reason == pkiv1.ReasonInvalidSpec}
	}
	ready := conditionOf(d, pkiv1.ConditionReady, blocked)
	if blocked == nil {
		return []metav1.Condition{ready}
	}
	abnormal := pkiv1.ConditionReconciling
	if blocked.Stalled {
		abnormal = pkiv1.ConditionStalled
	}
	return []metav1.Condition{ready, keepTransition(d, metav1.Condition{Type: abnormal, Status: metav1.ConditionTrue,
		Reason: blocked.Reason, Message: step.Shorten(blocked.Message), ObservedGeneration: d.Generation})}
}
