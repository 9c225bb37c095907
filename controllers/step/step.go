// Package step runs a controller's list of steps, one condition each, and
// writes the status once.
package step

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// FieldOwner owns the status fields that Terrace writes.
const FieldOwner = client.FieldOwner("terrace")

// waitInterval is how often an object that waits for another one is looked at
// again, besides the watches.
const waitInterval = 10 * time.Second

// staleInterval is when an object is looked at again that was read from a cache
// which is behind the API server.
const staleInterval = 200 * time.Millisecond

// Step brings one condition about.
type Step struct {
	// Condition is its type.
	Condition string
	// Do observes afresh and acts. Nil: the condition is True. *NotReady: it is
	// False for a reason. Any other error: it is False and tried again with backoff.
	Do func(ctx context.Context) error
	// Independent: the step is taken although one before it is not True.
	Independent bool
	// Advisory: Ready does not wait for the condition.
	Advisory bool
}

// NotReady is a result, not a failure: why a condition is not True yet.
type NotReady struct {
	Reason, Message string
	// Stalled: only a change of the spec or of what it refers to can help.
	Stalled bool
	// Retry after this long, when positive, in place of the default.
	RequeueAfter time.Duration
	// Err is a failure to be retried with backoff.
	Err error
}

func (e *NotReady) Error() string { return e.Reason + ": " + e.Message }
func (e *NotReady) Unwrap() error { return e.Err }

// Waiting says that something else must come first; the object is looked at again.
func Waiting(reason, format string, args ...any) *NotReady {
	return &NotReady{Reason: reason, Message: fmt.Sprintf(format, args...), RequeueAfter: waitInterval}
}

// Stalled says that only a change can help.
func Stalled(reason, format string, args ...any) *NotReady {
	return &NotReady{Reason: reason, Message: fmt.Sprintf(format, args...), Stalled: true}
}

// Failed says that something that should work did not; it is tried again with backoff.
func Failed(reason string, err error) *NotReady {
	return &NotReady{Reason: reason, Message: err.Error(), Err: err}
}

// Object is a kind with the common status.
type Object interface {
	client.Object
	GetObjectStatus() *pkiv1.ObjectStatus
	GetStatus() any
}

// Succeeded is a success whose condition has a reason or message of its own.
type Succeeded struct{ Reason, Message string }

func (e *Succeeded) Error() string { return e.Message }

// Run runs the steps in order until one is not True, sums them up in Ready, and
// applies the status when it changed. next is when to look again if all is well,
// or sooner when an Advisory step says so.
func Run(ctx context.Context, c client.Client, obj Object, next time.Duration, steps ...Step) (ctrl.Result, error) {
	before := obj.DeepCopyObject().(Object)
	var blocked *NotReady
	for _, s := range steps {
		if blocked != nil && !s.Independent {
			set(obj, s.Condition, metav1.ConditionUnknown, pkiv1.ReasonProgressing, "waits for the step before")
			continue
		}
		var good *Succeeded
		err := s.Do(ctx)
		switch {
		case err == nil:
			set(obj, s.Condition, metav1.ConditionTrue, pkiv1.ReasonSucceeded, "")
		case errors.As(err, &good):
			set(obj, s.Condition, metav1.ConditionTrue, good.Reason, good.Message)
		default:
			var why *NotReady
			if !errors.As(err, &why) {
				why = Failed(pkiv1.ReasonProgressing, err)
			}
			set(obj, s.Condition, metav1.ConditionFalse, why.Reason, why.Message)
			switch {
			case s.Advisory && why.RequeueAfter > 0:
				next = min(next, why.RequeueAfter)
			case !s.Advisory && blocked == nil:
				blocked = why
			}
		}
	}
	summarise(obj, blocked)
	if err := apply(ctx, c, before, obj); apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: staleInterval}, nil
	} else if err != nil {
		return ctrl.Result{}, fmt.Errorf("apply status: %w", err)
	}
	switch {
	case blocked == nil:
		return ctrl.Result{RequeueAfter: next}, nil
	case blocked.Err != nil:
		return ctrl.Result{}, blocked.Err
	case blocked.Stalled && blocked.RequeueAfter == 0:
		return ctrl.Result{}, reconcile.TerminalError(blocked)
	default:
		return ctrl.Result{RequeueAfter: blocked.RequeueAfter}, nil
	}
}

func summarise(obj Object, blocked *NotReady) {
	st := obj.GetObjectStatus()
	st.ObservedGeneration = obj.GetGeneration()
	if blocked == nil {
		set(obj, pkiv1.ConditionReady, metav1.ConditionTrue, pkiv1.ReasonSucceeded, "")
		meta.RemoveStatusCondition(&st.Conditions, pkiv1.ConditionReconciling)
		meta.RemoveStatusCondition(&st.Conditions, pkiv1.ConditionStalled)
		return
	}
	set(obj, pkiv1.ConditionReady, metav1.ConditionFalse, blocked.Reason, blocked.Message)
	on, off := pkiv1.ConditionReconciling, pkiv1.ConditionStalled
	if blocked.Stalled {
		on, off = off, on
	}
	set(obj, on, metav1.ConditionTrue, blocked.Reason, blocked.Message)
	meta.RemoveStatusCondition(&st.Conditions, off)
}

// maxMessage is what a message of a status may have, in bytes.
const maxMessage = 1024

// Shorten cuts words to what a message of a status may have.
func Shorten(s string) string {
	if len(s) > maxMessage {
		return strings.ToValidUTF8(s[:maxMessage], "")
	}
	return s
}

func set(obj Object, typ string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&obj.GetObjectStatus().Conditions, metav1.Condition{
		Type: typ, Status: status, Reason: reason, Message: Shorten(message), ObservedGeneration: obj.GetGeneration()})
}

// apply writes the whole status by server-side apply, if it changed.
func apply(ctx context.Context, c client.Client, before, obj Object) error {
	if equality.Semantic.DeepEqual(before.GetStatus(), obj.GetStatus()) {
		return nil
	}
	// What was read may be older than what this controller wrote itself: an act
	// done a moment ago would be shown as one that was found done.
	return ApplyStatus(ctx, c, obj, obj.GetStatus(), FieldOwner, before.GetResourceVersion())
}

// ApplyStatus makes status that part of an object's status which owner owns, by
// server-side apply. With a version, only if the object still has it. An object
// that is gone, or another of its name that came since, is left alone.
func ApplyStatus(ctx context.Context, c client.Client, obj client.Object, status any, owner client.FieldOwner, version string) error {
	gvk, err := apiutil.GVKForObject(obj, c.Scheme())
	if err != nil {
		return err
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": fields}}
	u.SetGroupVersionKind(gvk)
	u.SetName(obj.GetName())
	u.SetNamespace(obj.GetNamespace())
	u.SetUID(obj.GetUID())
	u.SetResourceVersion(version)
	return client.IgnoreNotFound(c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), owner, client.ForceOwnership))
}

// IsReady says whether an object's Ready condition is True for its present spec.
func IsReady(obj Object) bool {
	st := obj.GetObjectStatus()
	return st.ObservedGeneration == obj.GetGeneration() && meta.IsStatusConditionTrue(st.Conditions, pkiv1.ConditionReady)
}
