// Package tier reconciles Tier (电子认证系统): it gathers the objects that name
// the tier and says in one line whether it is well. It changes nothing else and
// needs neither ledger nor device.
package tier

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
)

// lookAgain is how often a tier is looked at besides the watches, which tell
// of every change.
const lookAgain = 5 * time.Minute

// tierMember is an object of a kind that has spec.tierRef.
type tierMember interface {
	step.Object
	GetTierRef() *pkiv1.LocalObjectReference
}

// memberKinds are the kinds with spec.tierRef.
var memberKinds = []struct {
	kind   string
	object client.Object
	list   client.ObjectList
}{
	{"CryptoDevice", &pkiv1.CryptoDevice{}, &pkiv1.CryptoDeviceList{}},
	{"IndustryCA", &pkiv1.IndustryCA{}, &pkiv1.IndustryCAList{}},
	{"BusinessCA", &pkiv1.BusinessCA{}, &pkiv1.BusinessCAList{}},
	{"ValidationService", &pkiv1.ValidationService{}, &pkiv1.ValidationServiceList{}},
	{"RegistrationAuthority", &pkiv1.RegistrationAuthority{}, &pkiv1.RegistrationAuthorityList{}},
	{"Directory", &pkiv1.Directory{}, &pkiv1.DirectoryList{}},
}

// Reconciler reconciles Tier.
type Reconciler struct {
	Client client.Client
	// Metrics that show the tiers; nil shows them nowhere.
	Metrics *Metrics
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if r.Metrics == nil {
		r.Metrics = NewMetrics(nil)
	}
	r.Metrics.reset()
	if err := r.Metrics.conditions.runFrom(mgr); err != nil {
		return err
	}
	list := &pkiv1.TierList{}
	b := ctrl.NewControllerManagedBy(mgr).Named("tier").
		For(&pkiv1.Tier{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&pkiv1.Tier{}, step.EnqueueNeighbours(r.Client, list, isBelow), builder.WithPredicates(predicate.GenerationChangedPredicate{}))
	for _, k := range memberKinds {
		b = b.Watches(k.object, step.EnqueueNeighbours(r.Client, list, isJoinedBy))
	}
	return b.Complete(reconcile.Func(r.byName))
}

// byName reconciles the tier of a name, or forgets one that is gone.
func (r *Reconciler) byName(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var t pkiv1.Tier
	if err := r.Client.Get(ctx, req.NamespacedName, &t); err != nil {
		if apierrors.IsNotFound(err) {
			r.Metrics.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	result, err := r.Reconcile(ctx, &t)
	r.Metrics.show(&t)
	return result, err
}

// isJoinedBy says that changed names the tier. An update is asked about with
// the old object too, so that a tier hears of what leaves it.
func isJoinedBy(tier, changed client.Object) bool {
	m, ok := changed.(tierMember)
	return ok && joins(m, tier)
}

func isBelow(tier, changed client.Object) bool {
	return upstreamKey(tier.(*pkiv1.Tier)) == client.ObjectKeyFromObject(changed)
}

func joins(m tierMember, tier client.Object) bool {
	ref := m.GetTierRef()
	return ref != nil && ref.Name == tier.GetName() && m.GetNamespace() == tier.GetNamespace()
}

// upstreamKey names the tier above, zero when no object of this API is named.
func upstreamKey(t *pkiv1.Tier) client.ObjectKey {
	if t.Spec.Upstream == nil || t.Spec.Upstream.TierRef == nil {
		return client.ObjectKey{}
	}
	ref := *t.Spec.Upstream.TierRef
	if ref.Namespace == "" {
		ref.Namespace = t.Namespace
	}
	return client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
}

// Reconcile observes the members and writes what follows from them.
func (r *Reconciler) Reconcile(ctx context.Context, t *pkiv1.Tier) (ctrl.Result, error) {
	if !t.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	obs, err := r.observe(ctx, t)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observe tier: %w", err)
	}
	d := decide(t, obs)
	return step.Run(ctx, r.Client, t, lookAgain,
		step.Step{Condition: pkiv1.ConditionComposed, Do: func(context.Context) error {
			t.Status.Health, t.Status.Members, t.Status.Kinds = d.health, d.members, d.kinds
			return errorOf(d.composed)
		}},
		step.Step{Condition: pkiv1.ConditionMembersReady, Independent: true, Do: func(context.Context) error { return errorOf(d.membersReady) }})
}

// errorOf keeps a nil pointer from becoming an error.
func errorOf(n *step.NotReady) error {
	if n == nil {
		return nil
	}
	return n
}

func (r *Reconciler) observe(ctx context.Context, t *pkiv1.Tier) (observation, error) {
	var obs observation
	for _, k := range memberKinds {
		list := k.list.DeepCopyObject().(client.ObjectList)
		if err := r.Client.List(ctx, list, client.InNamespace(t.Namespace)); err != nil {
			return obs, fmt.Errorf("list %s: %w", k.kind, err)
		}
		_ = meta.EachListItem(list, func(o runtime.Object) error {
			if m := o.(tierMember); joins(m, t) {
				obs.members = append(obs.members, memberOf(k.kind, m))
			}
			return nil
		})
	}
	key := upstreamKey(t)
	if key.Name == "" {
		return obs, nil
	}
	var up pkiv1.Tier
	switch err := r.Client.Get(ctx, key, &up); {
	case err == nil:
		obs.upstream = &up.Spec
	case !apierrors.IsNotFound(err):
		return obs, fmt.Errorf("read upstream tier %s: %w", key, err)
	}
	return obs, nil
}
