package tier

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
)

// Bounds of what conditions shows at one time.
const (
	// maxShown objects of one kind; further ones have no series.
	maxShown = 500
	// maxConditions of one object.
	maxConditions = 16
	// gatherTimeout bounds the lists, which the cache answers.
	gatherTimeout = 2 * time.Second
)

// conditions are the metrics of the tiers and of their members, in the manner of
// kube-state-metrics: what the API says of each object, read from the cache on
// each scrape. Requests and revocations, which are many, are not among them.
type conditions struct {
	reader atomic.Pointer[client.Reader] // nil while no controller runs here

	condition, info, members, ready, left *prometheus.Desc
}

var _ prometheus.Collector = (*conditions)(nil)

func newConditions() *conditions {
	tierOf := []string{"namespace", "tier"}
	return &conditions{
		condition: prometheus.NewDesc("terrace_resource_condition", "1 for the status (true, false, unknown) that a condition of an object has, 0 for the two others; unknown also when it is about an earlier generation.",
			[]string{"kind", "namespace", "name", "type", "status"}, nil),
		info:    prometheus.NewDesc("terrace_tier_info", "1 for each tier, with its level and mode (LD/T 02.1-2022 7.3 to 7.5).", append(slices.Clone(tierOf), "level", "mode"), nil),
		members: prometheus.NewDesc("terrace_tier_members", "Objects that name the tier, by kind.", append(slices.Clone(tierOf), "kind"), nil),
		ready:   prometheus.NewDesc("terrace_tier_members_ready", "Objects that name the tier and are Ready, by kind.", append(slices.Clone(tierOf), "kind"), nil),
		left:    prometheus.NewDesc("terrace_resource_conditions_omitted", "Objects of a kind that have no series of terrace_resource_condition, for there are too many.", []string{"kind"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *conditions) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.condition, c.info, c.members, c.ready, c.left} {
		out <- d
	}
}

// Collect implements prometheus.Collector. A kind that cannot be listed has no series.
func (c *conditions) Collect(out chan<- prometheus.Metric) {
	reader := c.reader.Load()
	if reader == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), gatherTimeout)
	defer cancel()
	var tiers pkiv1.TierList
	if (*reader).List(ctx, &tiers, client.UnsafeDisableDeepCopy) == nil {
		c.show(out, "Tier", &tiers)
		for i := range tiers.Items {
			c.showTier(out, &tiers.Items[i])
		}
	}
	for _, k := range memberKinds {
		list := k.list.DeepCopyObject().(client.ObjectList)
		if (*reader).List(ctx, list, client.UnsafeDisableDeepCopy) == nil {
			c.show(out, k.kind, list)
		}
	}
}

func (c *conditions) showTier(out chan<- prometheus.Metric, t *pkiv1.Tier) {
	gauge(out, c.info, 1, t.Namespace, t.Name, string(t.Spec.Level), string(t.Spec.Mode))
	for _, k := range t.Status.Kinds {
		gauge(out, c.members, float64(k.All), t.Namespace, t.Name, k.Kind)
		gauge(out, c.ready, float64(k.Ready), t.Namespace, t.Name, k.Kind)
	}
}

// show writes the conditions of the objects of a list, the first by name when
// there are too many.
func (c *conditions) show(out chan<- prometheus.Metric, kind string, list client.ObjectList) {
	var objects []step.Object
	_ = meta.EachListItem(list, func(o runtime.Object) error {
		objects = append(objects, o.(step.Object)) // every kind here has the common status
		return nil
	})
	slices.SortFunc(objects, func(a, b step.Object) int {
		return strings.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName())
	})
	shown := min(len(objects), maxShown)
	gauge(out, c.left, float64(len(objects)-shown), kind)
	for _, o := range objects[:shown] {
		status := o.GetObjectStatus()
		for i, is := range status.Conditions {
			if i == maxConditions {
				break
			}
			value := is.Status
			if status.ObservedGeneration != o.GetGeneration() {
				value = metav1.ConditionUnknown
			}
			for _, s := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
				n := 0.0
				if s == value {
					n = 1
				}
				gauge(out, c.condition, n, kind, o.GetNamespace(), o.GetName(), is.Type, strings.ToLower(string(s)))
			}
		}
	}
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

// runFrom has the metrics read the cache of a manager while it leads: several
// managers must not count one object several times.
func (c *conditions) runFrom(mgr ctrl.Manager) error {
	return mgr.Add(leading(func(ctx context.Context) error {
		reader := client.Reader(mgr.GetClient())
		c.reader.Store(&reader)
		defer c.reader.CompareAndSwap(&reader, nil)
		<-ctx.Done()
		return nil
	}))
}

// leading is a Runnable of the leader alone.
type leading func(context.Context) error

func (l leading) Start(ctx context.Context) error { return l(ctx) }
func (leading) NeedLeaderElection() bool          { return true }
