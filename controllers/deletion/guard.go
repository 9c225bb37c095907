// Package deletion is the second line behind the admission webhook: a finalizer
// that keeps an object Terminating while the ledger says that it is needed. It
// holds also where the webhook is not asked, or its status was out of date.
package deletion

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
)

// Finalizer of the objects that are guarded.
const Finalizer = "pki.terrace.dev/in-use"

// askAgain is how often it is looked whether a Terminating object may go.
const askAgain = 30 * time.Second

// InUse says in words why an object is needed, or "" when it may go. It is
// asked only when the object is to be deleted, and decides from facts, not from
// other objects: those may be gone already. Nil: the object is never held.
type InUse func(ctx context.Context) (why string, err error)

// Verdict is what a reconciler does with an object.
type Verdict struct {
	// Gone: nothing more is done; the object was let go.
	Gone bool
	// Held has the step that says why a Terminating object stays, to be taken
	// with or in place of the reconciler's own. It is empty for every other object.
	Held []step.Step
}

// Guard is called first in a reconcile, before anything is done that outlives
// the object. It keeps the finalizer on an object under Protect, and takes it
// off one under Orphan, or once it is Terminating and not in use.
//
// We may die between the deletion and the removal: the next reconcile asks again.
func Guard(ctx context.Context, c client.Client, obj step.Object, policy pkiv1.DeletionPolicy, inUse InUse) (Verdict, error) {
	hold := inUse != nil && policy != pkiv1.DeletionOrphan
	if obj.GetDeletionTimestamp().IsZero() {
		return Verdict{}, set(ctx, c, obj, hold)
	}
	if !controllerutil.ContainsFinalizer(obj, Finalizer) {
		return Verdict{Gone: true}, nil // another's finalizer holds it
	}
	why, err := "", error(nil)
	if hold {
		why, err = inUse(ctx)
	}
	if why == "" && err == nil {
		return Verdict{Gone: true}, set(ctx, c, obj, false)
	}
	return Verdict{Held: []step.Step{{Condition: pkiv1.ConditionDeletable, Independent: true, Do: func(context.Context) error {
		if err != nil {
			return step.Failed(pkiv1.ReasonStoreUnavailable, err)
		}
		return &step.NotReady{Reason: pkiv1.ReasonInUse, RequeueAfter: askAgain,
			Message: why + "; set spec.deletionPolicy: Orphan to let the object go: keys and facts stay, and the same YAML finds them again"}
	}}}}, nil
}

// set adds or takes off the finalizer; it writes only what changes.
func set(ctx context.Context, c client.Client, obj step.Object, want bool) error {
	before := obj.DeepCopyObject().(client.Object)
	changed := false
	if want {
		changed = controllerutil.AddFinalizer(obj, Finalizer)
	} else {
		changed = controllerutil.RemoveFinalizer(obj, Finalizer)
	}
	if !changed {
		return nil
	}
	// The lock keeps a finalizer that somebody else added meanwhile.
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := client.IgnoreNotFound(c.Patch(ctx, obj, patch)); err != nil {
		return fmt.Errorf("set finalizer %s: %w", Finalizer, err)
	}
	return nil
}
