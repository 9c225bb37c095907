package webhooks_test

import (
	"crypto/rand"
	"crypto/x509/pkix"
	encasn1 "encoding/asn1"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

func TestWhoMayDecide(t *testing.T) {
	o := newOffice(t)
	ns := o.ns
	req := o.apply(t, "open")
	digest := digestOf(t, req)
	denied, issued := o.apply(t, "denied"), o.apply(t, "issued")
	denied.Status.Conditions = []metav1.Condition{condition(pkiv1.ConditionPolicyPassed, metav1.ConditionFalse, pkiv1.ReasonDenied)}
	o.setStatus(t, denied)
	issued.Status.SerialNumber = "4A11"
	issued.Status.Conditions = []metav1.Condition{condition(pkiv1.ConditionIssued, metav1.ConditionTrue, pkiv1.ReasonSucceeded)}
	o.setStatus(t, issued)
	ca := &pkiv1.BusinessCA{ObjectMeta: meta(ns, "business"), Spec: pkiv1.BusinessCASpec{CACommon: caCommon("CN=B,C=CN"), Validity: metav1.Duration{Duration: 1 << 50},
		Issuer: pkiv1.BusinessCAIssuer{IndustryCARef: &pkiv1.LocalObjectReference{Name: "ca"}}}}
	if err := o.admin.Create(t.Context(), ca); err != nil {
		t.Fatal(err)
	}
	young := ca.DeepCopy()
	young.ObjectMeta = meta(ns, "young")
	if err := o.admin.Create(t.Context(), young); err != nil {
		t.Fatal(err)
	}
	ca.Status.RequestDigest = digits(7)
	o.setStatus(t, ca)
	elsewhere := decision(server.Namespace(t), "CertificateRequest", "open", digest)
	elsewhere.Spec.TargetRef.Namespace = ns

	both := []string{"clerks", "reviewers"}
	for name, tc := range map[string]struct {
		user   string
		groups []string
		a      *pkiv1.Approval
		want   []string // what the message says; none: it is taken
	}{
		"reviewer":               {reviewer, both, decision(ns, "CertificateRequest", "open", digest), nil},
		"the applicant":          {applicant, both, decision(ns, "CertificateRequest", "open", digest), []string{"forbidden", "spec.approver", "asked for", "somebody else"}},
		"a person without verb":  {clerk, both[:1], decision(ns, "CertificateRequest", "open", digest), []string{"forbidden", "`approve` registrationauthorities \"ra\"", ns, "Role"}},
		"a person without right": {reviewer, both[1:], decision(ns, "CertificateRequest", "open", digest), []string{"forbidden", "cannot create resource"}},
		"a service account":      {robot, both, decision(ns, "CertificateRequest", "open", digest), []string{"forbidden", "spec.approver", "service account", "yourself"}},
		"no such request":        {reviewer, both, decision(ns, "CertificateRequest", "nobody", digest), []string{"spec.targetRef", "nobody", "Not found"}},
		"other content":          {reviewer, both, decision(ns, "CertificateRequest", "open", digits(1)), []string{"spec.requestDigest", digest, "decide anew"}},
		"another namespace":      {reviewer, both, elsewhere, []string{"metadata.namespace", ns, "create the Approval there"}},
		"issued, the applicant":  {applicant, both, decision(ns, "CertificateRequest", "issued", digestOf(t, issued)), []string{"forbidden", "asked for"}},
		"denied, without verb":   {clerk, both[:1], decision(ns, "CertificateRequest", "denied", digestOf(t, denied)), []string{"forbidden", "`approve` registrationauthorities"}},
		"issued, other content":  {reviewer, both, decision(ns, "CertificateRequest", "issued", digest), []string{"spec.requestDigest", "decide anew"}},
		"an officer":             {reviewer, both, signed(decision(ns, "BusinessCA", "business", digits(7))), nil},
		"an officer, unsigned":   {reviewer, both, decision(ns, "BusinessCA", "business", digits(7)), []string{"signature", "officer"}},
		"an officer, other CSR":  {reviewer, both, signed(decision(ns, "BusinessCA", "business", digits(8))), []string{"spec.requestDigest", digits(7)}},
		"an officer, too early":  {reviewer, both, signed(decision(ns, "BusinessCA", "young", digits(7))), []string{"spec.requestDigest", "no status.requestDigest yet"}},
		"a CA without verb":      {clerk, both[:1], signed(decision(ns, "BusinessCA", "business", digits(7))), []string{"forbidden", "`approve` industrycas \"ca\""}},
		"no such CA":             {reviewer, both, signed(decision(ns, "BusinessCA", "nobody", digits(7))), []string{"spec.targetRef", "Not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			// A dry run gets the same answer as a creation.
			check(t, o.as(t, tc.user, append([]string(nil), tc.groups...)...).Create(t.Context(), tc.a, client.DryRunAll), tc.want)
		})
	}
}

// TestTooLateIsLetIn: an Approval that did its work comes back, and whoever
// makes one too late hears that it does nothing.
func TestTooLateIsLetIn(t *testing.T) {
	o := newOffice(t)
	both := []string{o.ns + "-clerks", o.ns + "-reviewers"}
	for name, tc := range map[string]struct {
		conditions []metav1.Condition
		want       []string // of the one warning; none: there is none
	}{
		"waits":               {[]metav1.Condition{condition(pkiv1.ConditionApproved, metav1.ConditionFalse, pkiv1.ReasonAwaitingApproval)}, nil},
		"denied-by-policy":    {[]metav1.Condition{condition(pkiv1.ConditionPolicyPassed, metav1.ConditionFalse, pkiv1.ReasonDenied)}, []string{"changes nothing", "denied already", "another name"}},
		"denied-by-a-person":  {[]metav1.Condition{condition(pkiv1.ConditionApproved, metav1.ConditionFalse, pkiv1.ReasonDenied)}, []string{"changes nothing", "denied already"}},
		"issued-and-approved": {[]metav1.Condition{condition(pkiv1.ConditionIssued, metav1.ConditionTrue, pkiv1.ReasonSucceeded)}, []string{"changes nothing", "issued already", "4A11", "CertificateRevocation"}},
	} {
		t.Run(name, func(t *testing.T) {
			req := o.apply(t, name)
			req.Status.SerialNumber, req.Status.Conditions = "4A11", tc.conditions
			o.setStatus(t, req)
			said := &warnings{}
			cfg := server.As(reviewer, both...)
			cfg.WarningHandler = said
			c, err := client.New(cfg, client.Options{Scheme: o.admin.Scheme()})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Create(t.Context(), decision(o.ns, "CertificateRequest", name, digestOf(t, req))); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(said.all, "\n"); (got == "") != (tc.want == nil) {
				t.Errorf("warnings: got %q, want one that says %q", got, tc.want)
			}
			for _, w := range tc.want {
				if got := strings.Join(said.all, "\n"); !strings.Contains(got, w) {
					t.Errorf("warning %q does not say %q", got, w)
				}
			}
		})
	}
}

func TestWhoMayRevoke(t *testing.T) {
	o := newOffice(t)
	ns := o.ns
	ca := &pkiv1.BusinessCA{ObjectMeta: meta(ns, "business"), Spec: pkiv1.BusinessCASpec{CACommon: caCommon("CN=B,C=CN"), Validity: metav1.Duration{Duration: 1 << 50},
		Issuer: pkiv1.BusinessCAIssuer{IndustryCARef: &pkiv1.LocalObjectReference{Name: "ca"}}}}
	if err := o.admin.Create(t.Context(), ca); err != nil {
		t.Fatal(err)
	}
	byRequest := pkiv1.RevocationTarget{RequestRef: &pkiv1.LocalObjectReference{Name: "gone"}}
	byCA := func(name string) pkiv1.RevocationTarget {
		return pkiv1.RevocationTarget{CertificateAuthorityRef: &pkiv1.LocalObjectReference{Name: name}}
	}
	signer := pkiv1.RevocationTarget{TrustListSignerRef: &pkiv1.LocalObjectReference{Name: "ca"}}
	both := []string{"clerks", "revokers"}
	for name, tc := range map[string]struct {
		user   string
		groups []string
		target pkiv1.RevocationTarget
		want   []string
	}{
		"revoker, request that is gone": {revoker, both, byRequest, nil},
		"revoker, serial number":        {revoker, both, pkiv1.RevocationTarget{SerialNumber: "4A11"}, nil},
		"revoker, CA":                   {revoker, both, byCA("business"), nil},
		"a service account with verb":   {robot, both, byRequest, nil},
		"without verb":                  {clerk, both[:1], byRequest, []string{"forbidden", "`revoke` registrationauthorities \"ra\"", ns}},
		"without verb, CA":              {clerk, both[:1], byCA("business"), []string{"forbidden", "`revoke` industrycas \"ca\""}},
		"revoker, trust list signer":    {revoker, both, signer, nil},
		"without verb, signer":          {clerk, both[:1], signer, []string{"forbidden", "`revoke` industrycas \"ca\""}},
		"no such CA":                    {revoker, both, byCA("lost"), nil},
		"no such CA, the other verb":    {revoker, []string{"clerks", "sub-revokers"}, byCA("lost"), nil},
		"no such CA, without verb":      {clerk, both[:1], byCA("lost"), []string{"forbidden", "`revoke` all businesscas", ns}},
		"no such CA, verb on one CA":    {clerk, []string{"clerks", "ca-revokers"}, byCA("lost"), []string{"forbidden", "`revoke` all businesscas"}},
		"that CA, verb on one CA":       {clerk, []string{"clerks", "ca-revokers"}, byCA("business"), nil},
		"serial number of 40 digits":    {revoker, both, pkiv1.RevocationTarget{SerialNumber: strings.Repeat("f", 40)}, []string{"spec.target.serialNumber", "20 octets"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := o.as(t, tc.user, append([]string(nil), tc.groups...)...).Create(t.Context(), revocationOf(ns, tc.target), client.DryRunAll)
			check(t, err, tc.want)
		})
	}
}

// TestWhoItWasStays: the authenticated user is written whatever is given, and
// nobody changes it later, whoever applies the object again.
func TestWhoItWasStays(t *testing.T) {
	o := newOffice(t)
	forged := &pkiv1.Person{Username: "minister"}
	req := request(o.ns, "forged", armour(newRequestDER(t)))
	req.Spec.Applicant = forged
	if err := o.as(t, applicant, "clerks").Create(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got := req.Spec.Applicant.Username; got != applicant {
		t.Errorf("applicant: got %s, want %s", got, applicant)
	}
	a := decision(o.ns, "CertificateRequest", "forged", digestOf(t, req))
	a.Spec.Approver = forged
	if err := o.as(t, reviewer, "clerks", "reviewers").Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if got := a.Spec.Approver.Username; got != reviewer {
		t.Errorf("approver: got %s, want %s", got, reviewer)
	}
	rev := revocationOf(o.ns, pkiv1.RevocationTarget{SerialNumber: "4a11"})
	rev.Spec.Requester = forged
	if err := o.as(t, revoker, "clerks", "revokers").Create(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	if got := rev.Spec.Requester.Username; got != revoker {
		t.Errorf("requester: got %s, want %s", got, revoker)
	}

	// Somebody else writes the objects again, without and with a person.
	other := o.as(t, clerk, "clerks")
	for name, person := range map[string]*pkiv1.Person{"without": nil, "with": forged} {
		req.Spec.Applicant, a.Spec.Approver, rev.Spec.Requester = person, person, person
		for _, obj := range []client.Object{req, a, rev} {
			obj.SetLabels(map[string]string{"written": name})
			if err := other.Update(t.Context(), obj); err != nil {
				t.Errorf("update %s a person: %v", name, err)
			}
		}
		if req.Spec.Applicant.Username != applicant || a.Spec.Approver.Username != reviewer || rev.Spec.Requester.Username != revoker {
			t.Errorf("update %s a person changed one: %v, %v, %v", name, req.Spec.Applicant, a.Spec.Approver, rev.Spec.Requester)
		}
	}
	// As Git does it.
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": pkiv1.GroupVersion.String(), "kind": "CertificateRequest",
		"metadata": map[string]any{"namespace": o.ns, "name": "forged", "annotations": map[string]any{"again": "yes"}},
		"spec": map[string]any{"request": base64.StdEncoding.EncodeToString(req.Spec.Request), "profileRef": map[string]any{"name": "p"},
			"registrationAuthorityRef": map[string]any{"name": "ra"}}}}
	for range 2 {
		if err := other.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u.DeepCopy()), client.FieldOwner("git"), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.admin.Get(t.Context(), client.ObjectKeyFromObject(req), req); err != nil {
		t.Fatal(err)
	}
	if req.Annotations["again"] != "yes" || req.Spec.Applicant.Username != applicant {
		t.Errorf("after Git applied it: applicant %v, annotations %v", req.Spec.Applicant, req.Annotations)
	}
	// Another decision under the name is refused by CEL, in words.
	a.Spec.Decision = pkiv1.DecisionDeny
	check(t, other.Update(t.Context(), a), []string{"spec is immutable", "another Approval"})
}

// TestOldObjectsKeepTheirMetadata: a rule that came after an object must not
// hold up its labels and finalizers.
func TestOldObjectsKeepTheirMetadata(t *testing.T) {
	before, err := client.New(server.Config, client.Options{Scheme: scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	old := registrationAuthority(server.Namespace(t), "Ministry")
	old.Finalizers = []string{"test/hold"}
	if err := before.Create(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	c, _ := serve(t)
	old.Labels = map[string]string{"a": "b"}
	if err := c.Update(t.Context(), old); err != nil {
		t.Errorf("label: %v", err)
	}
	changed := old.DeepCopy()
	changed.Spec.AllowedNamespaces = []string{"x"}
	check(t, c.Update(t.Context(), changed), []string{"spec.allowedNames"})
	old.Finalizers = nil
	if err := c.Update(t.Context(), old); err != nil {
		t.Errorf("finalizer: %v", err)
	}
}

// TestWarnsOfIgnoredExtensions: the applicant learns at once what the certificate will not have.
func TestWarnsOfIgnoredExtensions(t *testing.T) {
	_, ns := serve(t)
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := smx509.CreateCertificateRequest(rand.Reader, &smx509.CertificateRequest{Subject: pkix.Name{CommonName: "Gauge"},
		ExtraExtensions: []pkix.Extension{{Id: encasn1.ObjectIdentifier{2, 5, 29, 37}, Value: []byte{0x30, 0}}}}, key)
	if err != nil {
		t.Fatal(err)
	}
	said := &warnings{}
	cfg := rest.CopyConfig(server.Config)
	cfg.WarningHandler = said
	c, err := client.New(cfg, client.Options{Scheme: scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), request(ns, "r", armour(csr)), client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(said.all, "\n"); !strings.Contains(got, "2.5.29.37") || !strings.Contains(got, "ignored") {
		t.Errorf("warnings: got %q, want one about 2.5.29.37", got)
	}
}

type warnings struct{ all []string }

func (w *warnings) HandleWarningHeader(_ int, _, text string) { w.all = append(w.all, text) }

// check compares an answer of the API server with what its message must say.
func check(t *testing.T, err error, want []string) {
	t.Helper()
	if want == nil {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatal("was taken, want a refusal")
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("message %q does not say %q", err, w)
		}
	}
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := pkiv1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return s
}
