// Package roles proves with a real API server that people have the rights of
// their roles (docs/roles.md) and no others, and that each level manages the
// level directly below it.
package roles

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/terrace-pki/terrace/test/apiserver"
)

const config = "../../config"

var server *apiserver.Server

func TestMain(m *testing.M) {
	os.Exit(apiserver.Main(m, func(s *apiserver.Server) error {
		server = s
		c, err := client.New(s.Config, client.Options{})
		if err != nil {
			return err
		}
		errs := []error{apiserver.InstallCRDs(s.Config, filepath.Join(config, "crd"))}
		for _, file := range []string{"rbac/people.yaml", "rbac/administrators.yaml", "policies/level.yaml", "policies/exclusive.yaml", "policies/cluster.yaml"} {
			errs = append(errs, install(c, filepath.Join(config, file)))
		}
		return errors.Join(errs...)
	}))
}

func install(c client.Client, file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for d := utilyaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(b))); ; {
		text := make([]byte, len(b)+1)
		n, err := d.Read(text)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var o unstructured.Unstructured
		if err := yaml.Unmarshal(text[:n], &o.Object); err != nil {
			return err
		}
		if o.Object == nil {
			continue
		}
		if err := c.Create(context.Background(), &o); err != nil {
			return err
		}
	}
}

// tier is a namespace of a tier, with the administrators of its beginning.
type tier struct {
	t         *testing.T
	namespace string
}

// The people of a tier, by their roles.
const (
	super, chief = "super", "chief" // super and audit administrator, of the beginning
	boss         = "boss"           // administrator
)

func newTier(t *testing.T) *tier {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "roles-", Labels: map[string]string{"pki.terrace.dev/tier": "t"}}}
	root := as(t, server.Config)
	if err := root.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	r := &tier{t, ns.Name}
	r.must(root.Create(t.Context(), r.binding("terrace-super-administrator", super)))
	r.must(root.Create(t.Context(), r.binding("terrace-audit-administrator", chief)))
	// A new policy is not asked at once: wait until one says no.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		err := r.person(super).Create(t.Context(), r.binding("terrace-viewer", "probe"), client.DryRunAll)
		if err != nil && strings.Contains(err.Error(), "each level manages") {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("the policies are not asked: %v", err)
		}
	}
}

func as(t *testing.T, cfg *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *tier) person(name string) client.Client { return as(r.t, server.As(name)) }

func (r *tier) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// refused wants an answer that says why.
func (r *tier) refused(what string, err error, why string) {
	r.t.Helper()
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), why) {
		r.t.Errorf("%s: %v, want a refusal that says %q", what, err, why)
	}
}

// binding gives a role to people.
func (r *tier) binding(role string, people ...string) *rbacv1.RoleBinding {
	b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: role + "." + strings.Join(people, ".")},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}}
	for _, p := range people {
		b.Subjects = append(b.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: p})
	}
	return b
}

// below is who manages whom, the whole of it.
var below = map[string][]string{
	super: {"terrace-administrator"},
	chief: {"terrace-auditor"},
	boss:  {"terrace-applicant", "terrace-reviewer", "terrace-revoker", "terrace-officer", "terrace-viewer"},
}

var all = []string{"terrace-super-administrator", "terrace-audit-administrator", "terrace-administrator", "terrace-auditor",
	"terrace-applicant", "terrace-reviewer", "terrace-revoker", "terrace-officer", "terrace-viewer"}

// TestEachManagesTheLevelBelow tries every manager on every role: to make, to
// change and to take away.
func TestEachManagesTheLevelBelow(t *testing.T) {
	r := newTier(t)
	r.must(r.person(super).Create(t.Context(), r.binding("terrace-administrator", boss)))
	root := as(t, server.Config)
	for manager, mine := range below {
		for _, role := range all {
			c, b := r.person(manager), r.binding(role, "new-"+manager)
			if slices.Contains(mine, role) {
				r.must(c.Create(t.Context(), b))
				b.Subjects = append(b.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: "second"})
				r.must(c.Update(t.Context(), b))
				r.must(c.Delete(t.Context(), b))
				continue
			}
			if err := c.Create(t.Context(), b.DeepCopy()); !apierrors.IsForbidden(err) {
				t.Errorf("%s makes %s: %v, want forbidden", manager, role, err)
			}
			r.must(root.Create(t.Context(), b))
			changed := b.DeepCopy()
			changed.Labels = map[string]string{"a": "b"}
			if err := c.Update(t.Context(), changed); !apierrors.IsForbidden(err) {
				t.Errorf("%s changes %s: %v, want forbidden", manager, role, err)
			}
			r.refused(manager+" takes away "+role, c.Delete(t.Context(), b.DeepCopy()), "each level manages the level directly below it")
			r.must(root.Delete(t.Context(), b))
		}
	}
}

func TestNobodyBindsThemself(t *testing.T) {
	r := newTier(t)
	r.refused("a super administrator", r.person(super).Create(t.Context(), r.binding("terrace-administrator", super)), "may not bind a role to themself")
	b := r.binding("terrace-administrator", boss)
	r.must(r.person(super).Create(t.Context(), b))
	b.Subjects = append(b.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: super})
	r.refused("by a change", r.person(super).Update(t.Context(), b), "may not bind a role to themself")
	group := r.binding("terrace-reviewer", "ministry-reviewers")
	group.Subjects[0].Kind = "Group"
	r.must(r.person(boss).Create(t.Context(), group.DeepCopy()))
	group.Name = "by-group"
	group.Subjects[0].Name = "system:authenticated"
	r.refused("by a group", r.person(boss).Create(t.Context(), group), "may not bind a role to themself")
}

func TestOnlyPeopleHaveRoles(t *testing.T) {
	r := newTier(t)
	r.must(r.person(super).Create(t.Context(), r.binding("terrace-administrator", boss)))
	b := r.binding("terrace-reviewer", "x")
	b.Subjects[0] = rbacv1.Subject{Kind: "ServiceAccount", Name: "flux", Namespace: r.namespace}
	r.refused("a service account", r.person(boss).Create(t.Context(), b), "is for people")
	b = r.binding("terrace-auditor", "auditors")
	b.Subjects[0].Kind = "Group"
	r.refused("a group of auditors", r.person(chief).Create(t.Context(), b), "one by one")
	c := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: r.namespace}, RoleRef: r.binding("terrace-reviewer", "x").RoleRef}
	r.refused("in the whole cluster", as(t, server.Config).Create(t.Context(), c), "in the namespace of a tier")
}

func TestBusinessAndAuditExcludeEachOther(t *testing.T) {
	r := newTier(t)
	r.must(r.person(super).Create(t.Context(), r.binding("terrace-administrator", boss)))
	r.must(r.person(boss).Create(t.Context(), r.binding("terrace-reviewer", "li")))
	auditor := r.binding("terrace-auditor", "li")
	r.eventuallyRefused("a reviewer becomes an auditor", func() error { return r.person(chief).Create(t.Context(), auditor.DeepCopy(), client.DryRunAll) }, "terrace-reviewer.li")
	r.must(r.person(chief).Create(t.Context(), r.binding("terrace-auditor", "zhao")))
	r.eventuallyRefused("an auditor becomes an operator", func() error {
		return r.person(boss).Create(t.Context(), r.binding("terrace-viewer", "zhao"), client.DryRunAll)
	}, "exclude each other")
	r.eventuallyRefused("an audit administrator becomes an administrator", func() error {
		return r.person(super).Create(t.Context(), r.binding("terrace-administrator", chief), client.DryRunAll)
	}, "exclude each other")
	r.must(r.person(boss).Delete(t.Context(), r.binding("terrace-reviewer", "li")))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := r.person(chief).Create(t.Context(), auditor.DeepCopy())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("one who is no reviewer any more becomes an auditor: %v", err)
		}
	}
}

// eventuallyRefused asks again for a while: the policies see other bindings a
// moment late.
func (r *tier) eventuallyRefused(what string, do func() error, why string) {
	r.t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = do(); err != nil {
			break
		}
	}
	r.refused(what, err, why)
}

func TestRights(t *testing.T) {
	r := newTier(t)
	root := as(t, server.Config)
	for _, role := range all[2:] {
		r.must(root.Create(t.Context(), r.binding(role, "a-"+strings.TrimPrefix(role, "terrace-"))))
	}
	type act struct{ verb, group, resource string }
	const pki = "pki.terrace.dev"
	acts := map[act][]string{
		{"list", pki, "certificaterequests"}:                   {super, chief, "a-administrator", "a-auditor", "a-applicant", "a-reviewer", "a-revoker", "a-officer", "a-viewer"},
		{"create", pki, "certificaterequests"}:                 {"a-applicant"},
		{"create", pki, "approvals"}:                           {"a-reviewer", "a-officer"},
		{"approve", pki, "registrationauthorities"}:            {"a-reviewer"},
		{"revoke", pki, "registrationauthorities"}:             {"a-revoker"},
		{"create", pki, "certificaterevocations"}:              {"a-revoker", "a-officer"},
		{"approve", pki, "businesscas"}:                        {"a-officer"},
		{"update", pki, "registrationauthorities"}:             {super},
		{"update", pki, "certificateprofiles"}:                 {super},
		{"create", pki, "businesscas"}:                         {},
		{"get", "", "secrets"}:                                 {},
		{"list", "", "events"}:                                 {"a-auditor"},
		{"create", rbacv1.GroupName, "rolebindings"}:           {super, chief, "a-administrator"},
		{"list", rbacv1.GroupName, "rolebindings"}:             {super, chief, "a-administrator", "a-auditor"},
		{"create", rbacv1.GroupName, "roles"}:                  {},
		{"escalate", rbacv1.GroupName, "clusterroles"}:         {},
		{"impersonate", "", "users"}:                           {},
		{"deletecollection", rbacv1.GroupName, "rolebindings"}: {},
	}
	for a, may := range acts {
		for _, who := range []string{super, chief, "a-administrator", "a-auditor", "a-applicant", "a-reviewer", "a-revoker", "a-officer", "a-viewer"} {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: who,
				ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: r.namespace, Verb: a.verb, Group: a.group, Resource: a.resource}}}
			r.must(root.Create(t.Context(), review))
			if want := slices.Contains(may, who); review.Status.Allowed != want {
				t.Errorf("%s may %s %s: %t, want %t", who, a.verb, a.resource, review.Status.Allowed, want)
			}
		}
	}
}
