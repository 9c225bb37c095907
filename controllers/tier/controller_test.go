package tier_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/tier"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

// joined is spec.tierRef of a member of "province".
var joined = &pkiv1.LocalObjectReference{Name: "province"}

func newProvince(ns *controllertest.Tier) *pkiv1.Tier {
	return &pkiv1.Tier{ObjectMeta: ns.Meta("province"), Spec: pkiv1.TierSpec{Level: pkiv1.LevelProvince, Mode: pkiv1.ModeRegistration,
		Upstream: &pkiv1.TierUpstream{TierRef: &pkiv1.NamespacedReference{Name: "ministry"}}}}
}

func newRA(ns *controllertest.Tier) *pkiv1.RegistrationAuthority {
	return &pkiv1.RegistrationAuthority{ObjectMeta: ns.Meta("ra"), Spec: pkiv1.RegistrationAuthoritySpec{TierRef: joined,
		BusinessCARef: pkiv1.LocalObjectReference{Name: "ca"}, AllowedProfiles: []string{"p"}, ApprovalPolicy: pkiv1.ApprovalNone,
		AllowedNames: []pkiv1.NameRule{{SubjectBase: "C=CN"}}}}
}

func newService(ns *controllertest.Tier) *pkiv1.ValidationService {
	return &pkiv1.ValidationService{ObjectMeta: ns.Meta("validation"), Spec: pkiv1.ValidationServiceSpec{TierRef: joined, BaseURL: "http://validation.test",
		DeviceRef: &pkiv1.LocalObjectReference{Name: "hsm"}, ResponderValidity: metav1.Duration{Duration: time.Hour}, ResponseValidity: metav1.Duration{Duration: time.Hour}}}
}

// say writes what the process of a member would.
func say(t *testing.T, c client.Client, obj interface {
	client.Object
	GetObjectStatus() *pkiv1.ObjectStatus
}, status metav1.ConditionStatus, reason, message string) {
	t.Helper()
	*obj.GetObjectStatus() = pkiv1.ObjectStatus{ObservedGeneration: obj.GetGeneration(), Conditions: []metav1.Condition{{
		Type: pkiv1.ConditionReady, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}}}
	if err := c.Status().Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func TestHealthFollowsMembers(t *testing.T) {
	ns := controllertest.New(t)
	r := &tier.Reconciler{Client: ns.Client}
	province, ra, service := newProvince(ns), newRA(ns), newService(ns)
	stranger := newService(ns)
	stranger.Name, stranger.Spec.TierRef = "stranger", nil
	ns.Create(t, province)
	ns.Create(t, stranger)

	type want struct{ Composed, MembersReady, Ready, Health, Members string }
	check := func(when string, w want) {
		t.Helper()
		result, err := controllertest.Reconcile(t, ns.Client, r, province)
		if err != nil || result.RequeueAfter <= 0 {
			t.Errorf("%s: got %v, error %v, want to be looked at again without one", when, result, err)
		}
		got := want{controllertest.Reason(province, pkiv1.ConditionComposed), controllertest.Reason(province, pkiv1.ConditionMembersReady),
			controllertest.Reason(province, pkiv1.ConditionReady), province.Status.Health, province.Status.Members}
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	check("alone", want{"False/MemberMissing", "True/Succeeded", "False/MemberMissing",
		`spec.upstream: Tier "ministry" of namespace "` + ns.Namespace + `" is not there; missing for LD/T 02.1: RegistrationAuthority (7.4.1 a), ValidationService (7.4.1 a)`, "0/0"})

	ns.Create(t, &pkiv1.Tier{ObjectMeta: ns.Meta("ministry"), Spec: pkiv1.TierSpec{Level: pkiv1.LevelMinistry}})
	ns.Create(t, ra)
	ns.Create(t, service)
	check("declared", want{"True/Succeeded", "False/MemberNotReady", "False/MemberNotReady",
		"ValidationService/validation: Progressing: no process has reported on it yet, and 1 more", "0/2"})

	say(t, ns.Client, service, metav1.ConditionTrue, "Succeeded", "")
	say(t, ns.Client, ra, metav1.ConditionFalse, "ReferenceNotFound", `BusinessCA "ca" is not there`)
	check("one waits", want{"True/Succeeded", "False/MemberNotReady", "False/MemberNotReady",
		`RegistrationAuthority/ra: ReferenceNotFound: BusinessCA "ca" is not there`, "1/2"})

	say(t, ns.Client, ra, metav1.ConditionTrue, "Succeeded", "")
	check("well", want{"True/Succeeded", "True/Succeeded", "True/Succeeded", "all 2 members are Ready", "2/2"})
	wantKinds := []pkiv1.TierMembers{{Kind: "ValidationService", Ready: 1, All: 1}, {Kind: "RegistrationAuthority", Ready: 1, All: 1}}
	if diff := cmp.Diff(wantKinds, province.Status.Kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}

	version := province.ResourceVersion
	check("again", want{"True/Succeeded", "True/Succeeded", "True/Succeeded", "all 2 members are Ready", "2/2"})
	if province.ResourceVersion != version {
		t.Error("nothing changed, but the status was written")
	}

	ra.Spec.AllowedProfiles = []string{"q"}
	ns.Update(t, ra)
	check("changed", want{"True/Succeeded", "False/MemberNotReady", "False/MemberNotReady",
		"RegistrationAuthority/ra: Progressing: its process has not taken up the last change yet", "1/2"})
}

// The running controller hears of members that come, change and leave, and of
// the tier above.
func TestWatches(t *testing.T) {
	ns := controllertest.New(t)
	mgr, err := ctrl.NewManager(controllertest.Config(), ctrl.Options{Scheme: ns.Client.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if err := (&tier.Reconciler{Client: mgr.GetClient(), Metrics: tier.NewMetrics(registry)}).SetupWithManager(mgr); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	province, ra, service := newProvince(ns), newRA(ns), newService(ns)
	ns.Create(t, province)
	becomes := func(members, composed string) {
		t.Helper()
		err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
			err := ns.Client.Get(ctx, client.ObjectKeyFromObject(province), province)
			return province.Status.Members == members && controllertest.Reason(province, pkiv1.ConditionComposed) == composed, err
		})
		if err != nil {
			t.Fatalf("want %s members, Composed %s; got %s, %s", members, composed, province.Status.Members, controllertest.Reason(province, pkiv1.ConditionComposed))
		}
	}
	becomes("0/0", "False/MemberMissing")
	ns.Create(t, ra)
	becomes("0/1", "False/MemberMissing")
	say(t, ns.Client, ra, metav1.ConditionTrue, "Succeeded", "")
	becomes("1/1", "False/MemberMissing")
	ns.Create(t, service)
	becomes("1/2", "False/ReferenceNotFound")
	ns.Create(t, &pkiv1.Tier{ObjectMeta: ns.Meta("ministry"), Spec: pkiv1.TierSpec{Level: pkiv1.LevelMinistry}})
	becomes("1/2", "True/Succeeded")
	shows := func(want map[string]float64) {
		t.Helper()
		var got map[string]float64
		err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
			got = series(t, registry, ns.Namespace)
			return cmp.Equal(want, got), nil
		})
		if err != nil {
			t.Errorf("series (-want +got):\n%s", cmp.Diff(want, got))
		}
	}
	shows(map[string]float64{"province": 0, "ministry": 0})
	say(t, ns.Client, service, metav1.ConditionTrue, "Succeeded", "")
	becomes("2/2", "True/Succeeded")
	shows(map[string]float64{"province": 1, "ministry": 0})
	want := map[string]float64{"RegistrationAuthority/ra Ready true": 1, "RegistrationAuthority/ra Ready false": 0, "RegistrationAuthority/ra Ready unknown": 0,
		"members RegistrationAuthority": 1, "members_ready RegistrationAuthority": 1, "info Province Registration": 1}
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		got := health(t, registry, ns.Namespace)
		return cmp.Equal(want, got, cmpopts.IgnoreMapEntries(func(name string, _ float64) bool { _, wanted := want[name]; return !wanted })), nil
	})
	if err != nil {
		t.Errorf("health: want %v among %v", want, health(t, registry, ns.Namespace))
	}
	say(t, ns.Client, ra, metav1.ConditionFalse, "SomethingElse", "")
	ra.Spec.AllowedProfiles = []string{"q"}
	ns.Update(t, ra) // what is said is about the generation before
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		got := health(t, registry, ns.Namespace)
		return got["RegistrationAuthority/ra Ready unknown"] == 1 && got["RegistrationAuthority/ra Ready false"] == 0 && got["members_ready RegistrationAuthority"] == 0, nil
	})
	if err != nil {
		t.Errorf("health of an object that changed: %v", health(t, registry, ns.Namespace))
	}
	say(t, ns.Client, ra, metav1.ConditionTrue, "Succeeded", "")
	service.Spec.TierRef = nil
	ns.Update(t, service)
	becomes("1/1", "False/MemberMissing")
	ns.Delete(t, ra)
	becomes("0/0", "False/MemberMissing")
	shows(map[string]float64{"province": 0, "ministry": 0})
	ns.Delete(t, province)
	shows(map[string]float64{"ministry": 0})
}

// health are the values of the other metrics of a namespace, by what their labels say.
func health(t *testing.T, from prometheus.Gatherer, namespace string) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			l := map[string]string{}
			for _, pair := range m.Label {
				l[pair.GetName()] = pair.GetValue()
			}
			name := ""
			switch what := strings.TrimPrefix(f.GetName(), "terrace_tier_"); what {
			case "terrace_resource_condition":
				name = fmt.Sprintf("%s/%s %s %s", l["kind"], l["name"], l["type"], l["status"])
			case "members", "members_ready":
				name = what + " " + l["kind"]
			case "info":
				name = fmt.Sprintf("info %s %s", l["level"], l["mode"])
			}
			if name != "" && l["namespace"] == namespace && (l["tier"] == "province" || l["kind"] == "RegistrationAuthority") {
				values[name] = m.Gauge.GetValue()
			}
		}
	}
	return values
}

// series are the values of terrace_tier_ready in a namespace, by tier.
func series(t *testing.T, from prometheus.Gatherer, namespace string) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "terrace_tier_ready" && labels["namespace"] == namespace {
				values[labels["tier"]] = m.Gauge.GetValue()
			}
		}
	}
	return values
}
