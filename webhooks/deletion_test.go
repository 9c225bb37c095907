package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/test/apiserver"
	"github.com/terrace-pki/terrace/webhooks"
)

const deletionConfig = "../config/webhook/deletion.yaml"

// guarded is a client of an API server that asks the deletion webhook alone,
// and a namespace with the label.
type guarded struct {
	client.Client
	ns string
}

func serveDeletion(t *testing.T) *guarded {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), pkiv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	g := &guarded{Client: c, ns: server.Namespace(t)} // deleted after the webhook has gone
	g.label(t, g.ns)
	hooks, err := apiserver.InstallWebhooks(server.Config, deletionConfig)
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(server.Config, ctrl.Options{Scheme: scheme, WebhookServer: hooks.Server(), Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := webhooks.SetupAll(mgr); err != nil {
		t.Fatal(err)
	}
	hooks.Run(t, mgr)
	g.create(t, tier(g.ns, "probe", nil), device(g.ns, "probe", "probe", "probe"))
	g.eventually(t, "the webhook answers", func(ctx context.Context) bool {
		err := c.Delete(ctx, tier(g.ns, "probe", nil), client.DryRunAll)
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "in use")
	})
	g.delete(t, device(g.ns, "probe", "", ""), tier(g.ns, "probe", nil))
	return g
}

func (g *guarded) label(t *testing.T, namespace string) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:"ministry"}}}`, pkiv1.LabelTier)
	if err := g.Patch(t.Context(), ns, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		t.Fatal(err)
	}
}

func (g *guarded) create(t *testing.T, objs ...client.Object) {
	t.Helper()
	for _, obj := range objs {
		status := obj.DeepCopyObject().(client.Object)
		if err := g.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
		status.SetResourceVersion(obj.GetResourceVersion())
		if strings.HasPrefix(fmt.Sprintf("%T", obj), "*v1alpha1.") {
			if err := g.Status().Update(t.Context(), status); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (g *guarded) delete(t *testing.T, objs ...client.Object) {
	t.Helper()
	for _, obj := range objs {
		if err := g.Delete(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
}

func (g *guarded) eventually(t *testing.T, what string, is func(context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) { return is(ctx), nil })
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// refused deletes obj on trial and checks what the refusal says; nothing
// wanted: the deletion is taken.
func (g *guarded) refused(t *testing.T, obj client.Object, want ...string) {
	t.Helper()
	err := g.Delete(t.Context(), obj, client.DryRunAll)
	if len(want) == 0 {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if !apierrors.IsForbidden(err) {
		t.Fatalf("got %v, want Forbidden", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("message %q does not say %q", err, w)
		}
	}
}

func TestDeletionOfWhatIsUsed(t *testing.T) {
	g := serveDeletion(t)
	ns := g.ns
	other := server.Namespace(t)
	g.create(t,
		secret(ns, "pin", ""), secret(ns, "bind", ""), secret(ns, "slave-bind", ""), secret(ns, "reader", ""), secret(ns, "identity", ""), secret(ns, "old-identity", ""), secret(ns, "free", ""),
		secret(ns, "sdf-password", ""), sdfDevice(ns, "card", "sdf-password"), secret(ns, "release", "helm.sh/release.v1"), secret(other, "pin", ""), device(other, "hsm", "pin", ""),
		tier(ns, "ministry", nil), tier(ns, "alone", nil), tier(other, "province", &pkiv1.NamespacedReference{Name: "ministry", Namespace: ns}),
		device(ns, "hsm", "pin", "ministry"), device(ns, "responder", "release", ""), device(ns, "spare", "pin", ""),
		directory(ns, "ldap", "bind", "slave-bind"), directory(ns, "unused", "bind", ""),
		service(ns, "validation", "responder"), service(ns, "unused", "responder"),
		device(ns, "lists", "release", ""), signsLists(industry(ns, "industry"), "lists"), business(ns, "province", pkiv1.BusinessCAIssuer{IndustryCARef: local("industry")}),
		business(ns, "city", pkiv1.BusinessCAIssuer{BusinessCARef: local("province")}),
		business(ns, "leaf", pkiv1.BusinessCAIssuer{BusinessCARef: local("city")}),
		named(profile(ns, "DigitalSignature"), "allowed"), named(profile(ns, "DigitalSignature"), "asked"), named(profile(ns, "DigitalSignature"), "free"),
		standbyOf(device(ns, "first", "other-pin", ""), "standby"), device(ns, "standby", "other-pin", ""),
		standbyOf(device(ns, "twin-a", "other-pin", ""), "twin-b"), standbyOf(device(ns, "twin-b", "other-pin", ""), "twin-a"),
		ra(ns, "ra", "leaf"), ra(ns, "idle", "leaf"),
		asks(request(ns, "waiting", []byte("csr")), "ra", "", "identity", nil),
		asks(request(ns, "done", []byte("csr")), "idle", "", "old-identity", ready("True", "Succeeded")),
		asks(request(ns, "denied", []byte("csr")), "idle", "", "old-identity", ready("False", pkiv1.ReasonDenied)),
		asks(request(other, "far", []byte("csr")), "ra", ns, "", ready("False", pkiv1.ReasonAwaitingApproval)),
		revocation(other, "revoke", ns, "ra"),
	)
	for name, tc := range map[string]struct {
		obj  client.Object
		want []string
	}{
		"device of CAs":                  {device(ns, "hsm", "", ""), []string{`CryptoDevice "hsm" is in use by IndustryCA "industry", BusinessCA "city"`, `BusinessCA "province"`, "keys stay"}},
		"device of a responder":          {device(ns, "responder", "", ""), []string{`ValidationService "unused", ValidationService "validation"`}},
		"device that stands by":          {device(ns, "standby", "", ""), []string{`CryptoDevice "first"`}},
		"device that stands by a twin":   {standbyOf(device(ns, "twin-a", "", ""), "twin-b"), nil},
		"device of trust lists":          {device(ns, "lists", "", ""), []string{`CryptoDevice "lists" is in use by IndustryCA "industry"`}},
		"device of nobody":               {device(ns, "spare", "", ""), nil},
		"PIN":                            {secret(ns, "pin", ""), []string{`Secret "pin" is in use by CryptoDevice "hsm", CryptoDevice "spare"`, "another Secret"}},
		"SDF access password":            {secret(ns, "sdf-password", ""), []string{`CryptoDevice "card"`}},
		"PIN where nobody asked":         {secret(other, "pin", ""), nil},
		"bind password":                  {secret(ns, "bind", ""), []string{`Directory "ldap", Directory "unused"`}},
		"slave's bind password":          {secret(ns, "slave-bind", ""), []string{`Directory "ldap"`}},
		"reader's bind password":         {secret(ns, "reader", ""), []string{`Directory "ldap"`}},
		"identity of a waiting request":  {secret(ns, "identity", ""), []string{`CertificateRequest "waiting"`}},
		"identity of finished requests":  {secret(ns, "old-identity", ""), nil},
		"Secret of nobody":               {secret(ns, "free", ""), nil},
		"Secret that is not asked about": {secret(ns, "release", ""), nil},
		"profile of an RA":               {named(profile(ns), "allowed"), []string{`RegistrationAuthority "idle", RegistrationAuthority "ra"`, "spec.allowedProfiles"}},
		"profile of a waiting request":   {named(profile(ns), "asked"), []string{`CertificateRequest "waiting"`, `CertificateRequest "far" of namespace "` + other + `"`}},
		"profile of nobody":              {named(profile(ns), "free"), nil},
		"RA with waiting requests": {ra(ns, "ra", ""), []string{`CertificateRequest "waiting"`, `CertificateRequest "far" of namespace "` + other + `"`,
			`CertificateRevocation "revoke" of namespace "` + other + `"`}},
		"RA with finished requests":      {ra(ns, "idle", ""), nil},
		"industry CA with a CA below":    {industry(ns, "industry"), []string{`BusinessCA "province"`, "delete those first"}},
		"business CA with a CA below":    {business(ns, "city", pkiv1.BusinessCAIssuer{}), []string{`BusinessCA "leaf"`}},
		"business CA with RAs":           {business(ns, "leaf", pkiv1.BusinessCAIssuer{}), []string{`RegistrationAuthority "idle", RegistrationAuthority "ra"`}},
		"validation service of CAs":      {service(ns, "validation", ""), []string{`IndustryCA "industry", BusinessCA "city"`}},
		"validation service of nobody":   {service(ns, "unused", ""), nil},
		"directory of CAs":               {directory(ns, "ldap", "", ""), []string{`IndustryCA "industry"`}},
		"directory of nobody":            {directory(ns, "unused", "", ""), nil},
		"tier with members, one below":   {tier(ns, "ministry", nil), []string{`CryptoDevice "hsm", Tier "province" of namespace "` + other + `"`, "spec.tierRef"}},
		"tier without members":           {tier(ns, "alone", nil), nil},
		"namespace of a tier":            {namespace(ns), []string{`Namespace "` + ns + `" holds what is protected (RegistrationAuthority "idle"`, "and others", "spec.deletionPolicy: Orphan"}},
		"namespace that has no label":    {namespace(other), nil},
		"request, of which nothing asks": {request(ns, "waiting", nil), nil},
	} {
		t.Run(name, func(t *testing.T) { g.refused(t, tc.obj, tc.want...) })
	}
	t.Run("at most five users", func(t *testing.T) {
		for i := range 7 {
			g.create(t, service(ns, fmt.Sprintf("many-%d", i), "spare"))
		}
		g.refused(t, device(ns, "spare", "", ""), `ValidationService "many-4" and others: `)
		if err := g.Delete(t.Context(), device(ns, "spare", "", "")); err == nil || strings.Contains(err.Error(), "many-5") {
			t.Errorf("got %v, want a refusal that names five users", err)
		}
	})
	t.Run("a trial deletes nothing", func(t *testing.T) {
		obj := directory(ns, "unused", "", "")
		g.refused(t, obj)
		if err := g.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			t.Error(err)
		}
	})
}

func TestDeletionOfCAWithCertificates(t *testing.T) {
	g := serveDeletion(t)
	future, past := metav1.NewTime(time.Now().Add(time.Hour)), metav1.NewTime(time.Now().Add(-time.Hour))
	for name, tc := range map[string]struct {
		policy pkiv1.DeletionPolicy
		status pkiv1.CAStatus
		user   bool
		want   []string
	}{
		"valid":         {pkiv1.DeletionProtect, pkiv1.CAStatus{IssuedCertificates: 3, NotAfter: &future}, false, []string{"delivered 3 certificates", future.UTC().Format(time.RFC3339), "spec.deletionPolicy: Orphan"}},
		"none":          {pkiv1.DeletionProtect, pkiv1.CAStatus{NotAfter: &future}, false, nil},
		"expired":       {pkiv1.DeletionProtect, pkiv1.CAStatus{IssuedCertificates: 3, NotAfter: &past}, false, nil},
		"valid, Orphan": {pkiv1.DeletionOrphan, pkiv1.CAStatus{IssuedCertificates: 3, NotAfter: &future}, false, nil},
		"used, Orphan":  {pkiv1.DeletionOrphan, pkiv1.CAStatus{IssuedCertificates: 3, NotAfter: &future}, true, []string{"BusinessCA", "delete those first"}},
	} {
		t.Run(name, func(t *testing.T) {
			ns := server.Namespace(t)
			i, b := industry(ns, "ca"), business(ns, "ca", pkiv1.BusinessCAIssuer{External: &pkiv1.ExternalIssuer{}})
			i.Spec.DeletionPolicy, b.Spec.DeletionPolicy, i.Status.CAStatus, b.Status = tc.policy, tc.policy, tc.status, tc.status
			g.create(t, i, b)
			if tc.user {
				g.create(t, business(ns, "below-i", pkiv1.BusinessCAIssuer{IndustryCARef: local("ca")}), business(ns, "below-b", pkiv1.BusinessCAIssuer{BusinessCARef: local("ca")}))
			}
			g.refused(t, i, tc.want...)
			g.refused(t, b, tc.want...)
		})
	}
}

// A namespace whose objects are all Orphan comes apart by itself, whatever
// order the API server takes: what is used waits for its users.
func TestDeletionOfNamespace(t *testing.T) {
	g := serveDeletion(t)
	ns := g.ns
	objs := []client.Object{tier(ns, "ministry", nil), device(ns, "hsm", "pin", "ministry"), directory(ns, "ldap", "pin", ""), service(ns, "validation", "hsm"),
		industry(ns, "industry"), business(ns, "city", pkiv1.BusinessCAIssuer{IndustryCARef: local("industry")}), ra(ns, "ra", "city")}
	g.create(t, append([]client.Object{secret(ns, "pin", ""), named(profile(ns, "DigitalSignature"), "allowed")}, objs...)...)
	elsewhere := asks(request("default", "far", []byte("csr")), "ra", ns, "", nil)
	g.create(t, elsewhere)
	for _, obj := range objs[1:] {
		g.refused(t, namespace(ns), "what is protected")
		patch := []byte(`{"spec":{"deletionPolicy":"Orphan"}}`)
		if err := g.Patch(t.Context(), obj, client.RawPatch("application/merge-patch+json", patch)); err != nil {
			t.Fatal(err) // an update is nobody's business here
		}
	}
	g.refused(t, namespace(ns), `RegistrationAuthority "ra"`, `CertificateRequest "far" of namespace "default"`)
	g.delete(t, elsewhere)
	g.delete(t, namespace(ns))
	g.eventually(t, "the namespace goes", func(ctx context.Context) bool {
		return apierrors.IsNotFound(g.Get(ctx, client.ObjectKey{Name: ns}, &corev1.Namespace{}))
	})
	g.create(t, namespace(ns)) // for the end of the test, which deletes it again
}

// A prune names everything, in any order, again and again: each pass takes
// what nothing uses any more.
func TestPruneComesApart(t *testing.T) {
	g := serveDeletion(t)
	ns := g.ns
	objs := []client.Object{secret(ns, "pin", ""), tier(ns, "ministry", nil), device(ns, "hsm", "pin", "ministry"), service(ns, "validation", "hsm"), directory(ns, "ldap", "pin", ""),
		industry(ns, "industry"), business(ns, "city", pkiv1.BusinessCAIssuer{IndustryCARef: local("industry")}), named(profile(ns, "DigitalSignature"), "allowed"), ra(ns, "ra", "city")}
	g.create(t, objs...)
	var left []int
	for pass := 0; pass < 10 && (pass == 0 || left[len(left)-1] > 0); pass++ {
		n := 0
		for _, obj := range objs {
			switch err := g.Delete(t.Context(), obj); {
			case apierrors.IsForbidden(err):
				n++
			case client.IgnoreNotFound(err) != nil:
				t.Fatal(err)
			}
		}
		left = append(left, n)
	}
	if last := left[len(left)-1]; last != 0 || left[0] == 0 {
		t.Errorf("left after each pass: %v, want some, then none", left)
	}
}

// A change of an object is nobody's business here, and only tiers' namespaces
// depend on the process for anything but Terrace's own kinds.
func TestDeletionConfiguration(t *testing.T) {
	b, err := os.ReadFile(deletionConfig)
	if err != nil {
		t.Fatal(err)
	}
	var cfg admissionv1.ValidatingWebhookConfiguration
	if err := yaml.UnmarshalStrict(b, &cfg); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, w := range cfg.Webhooks {
		if w.SideEffects == nil || *w.SideEffects != admissionv1.SideEffectClassNone {
			t.Errorf("%s: sideEffects is not None: no deletion could be tried", w.Name)
		}
		for _, r := range w.Rules {
			asked++
			if diff := cmp.Diff([]admissionv1.OperationType{admissionv1.Delete}, r.Operations); diff != "" {
				t.Errorf("%s: operations (-want +got):\n%s", w.Name, diff)
			}
			foreign := !cmp.Equal(r.APIGroups, []string{pkiv1.GroupVersion.Group})
			if foreign && (w.NamespaceSelector == nil || len(w.NamespaceSelector.MatchExpressions) != 1 ||
				w.NamespaceSelector.MatchExpressions[0].Key != pkiv1.LabelTier) {
				t.Errorf("%s: asks about %v outside of tiers' namespaces", w.Name, r.Resources)
			}
		}
	}
	if asked != 3 {
		t.Errorf("%d rules, want 3", asked)
	}
}
