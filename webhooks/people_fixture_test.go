package webhooks_test

import (
	"encoding/hex"
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
)

// People of a tier. Each has the groups that give the rights.
const (
	applicant = "zhang"
	reviewer  = "li"
	clerk     = "wu" // may create Approvals and CertificateRevocations, but has no verb on the RA
	revoker   = "sun"
	robot     = "system:serviceaccount:flux-system:flux"
)

// office is a namespace with an RA, an industry CA and rights for people.
type office struct {
	admin client.Client
	ns    string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	admin, ns := serve(t)
	o := &office{admin, ns}
	for _, obj := range []client.Object{registrationAuthority(ns, "O=Ministry,C=CN"), industryCA(ns, "CN=CA,C=CN", nil, nil)} {
		if err := admin.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	o.grant(t, "clerks", []string{"certificaterequests", "approvals", "certificaterevocations"}, "get", "create", "update", "patch")
	o.grant(t, "reviewers", []string{"registrationauthorities", "industrycas"}, "approve")
	o.grant(t, "revokers", []string{"registrationauthorities", "industrycas"}, "revoke")
	o.grant(t, "sub-revokers", []string{"businesscas"}, "revoke")
	o.grantOn(t, "ca-revokers", []string{"industrycas"}, []string{"ca"}, "revoke")
	return o
}

// grant gives a group verbs in every namespace.
func (o *office) grant(t *testing.T, group string, resources []string, verbs ...string) {
	t.Helper()
	o.grantOn(t, group, resources, nil, verbs...)
}

// grantOn gives a group verbs on objects of these names.
func (o *office) grantOn(t *testing.T, group string, resources, names []string, verbs ...string) {
	t.Helper()
	name := o.ns + "-" + group
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{pkiv1.GroupVersion.Group}, Resources: resources, ResourceNames: names, Verbs: verbs}}}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: name}}}
	for _, obj := range []client.Object{role, binding} {
		if err := o.admin.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
}

// as is a client of a user who has the rights of groups.
func (o *office) as(t *testing.T, user string, groups ...string) client.Client {
	t.Helper()
	for i := range groups {
		groups[i] = o.ns + "-" + groups[i]
	}
	c, err := client.New(server.As(user, groups...), client.Options{Scheme: o.admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// apply creates a request as the applicant.
func (o *office) apply(t *testing.T, name string) *pkiv1.CertificateRequest {
	t.Helper()
	req := request(o.ns, name, armour(newRequestDER(t)))
	if err := o.as(t, applicant, "clerks").Create(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	return req
}

// setStatus writes what the controller would.
func (o *office) setStatus(t *testing.T, obj client.Object) {
	t.Helper()
	if err := o.admin.Status().Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func condition(typ string, status metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: typ, Status: status, Reason: reason, Message: "as the controller said", LastTransitionTime: metav1.Now()}
}

func digestOf(t *testing.T, req *pkiv1.CertificateRequest) string {
	t.Helper()
	target, _, err := policy.RequestTarget(req)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(target.Digest[:])
}

// decision about an object of its own namespace.
func decision(ns, kind, name, digest string) *pkiv1.Approval {
	return &pkiv1.Approval{ObjectMeta: metav1.ObjectMeta{Namespace: ns, GenerateName: "decision-"}, Spec: pkiv1.ApprovalSpec{
		TargetRef: pkiv1.ApprovalTarget{Kind: kind, Name: name}, RequestDigest: digest, Decision: pkiv1.DecisionApprove}}
}

func signed(a *pkiv1.Approval) *pkiv1.Approval {
	a.Spec.Signature = &pkiv1.OfficerSignature{Officer: "officer-1", Value: []byte("verified beside the key")}
	return a
}

func revocationOf(ns string, target pkiv1.RevocationTarget) *pkiv1.CertificateRevocation {
	r := &pkiv1.CertificateRevocation{ObjectMeta: metav1.ObjectMeta{Namespace: ns, GenerateName: "act-"}, Spec: pkiv1.CertificateRevocationSpec{
		Target: target, Action: pkiv1.ActionRevoke, Reason: "KeyCompromise"}}
	if target.CertificateAuthorityRef == nil && target.TrustListSignerRef == nil {
		r.Spec.RegistrationAuthorityRef = &pkiv1.NamespacedReference{Name: "ra"}
	}
	return r
}

func digits(n int) string { return fmt.Sprintf("%064x", n) }
