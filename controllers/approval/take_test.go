package approval_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/approval"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestMain(m *testing.M) {
	controllertest.Main(m, func(ctx context.Context, path string) (authority.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, TakeOver: true})
	})
}

// Whose decisions are taken in; the RA is in the tier's namespace.
const (
	applicant = "zhang"
	reviewer  = "li"
)

type office struct {
	*controllertest.Tier
	store registration.Store
	req   *pkiv1.CertificateRequest
}

// newOffice has one request that the RA has opened.
func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{Tier: controllertest.New(t)}
	o.store = o.Registration(t, sqlite.OpenRegistration)
	o.req = o.newRequest(t, "gauge-1")
	o.Create(t, o.req)
	o.open(t)
	return o
}

func (o *office) newRequest(t *testing.T, name string) *pkiv1.CertificateRequest {
	t.Helper()
	return &pkiv1.CertificateRequest{ObjectMeta: o.Meta(name), Spec: pkiv1.CertificateRequestSpec{Request: o.Request(t, name, "CN=Gauge,C=CN"),
		ProfileRef: pkiv1.LocalObjectReference{Name: "p"}, RegistrationAuthorityRef: pkiv1.NamespacedReference{Name: "ra"},
		Applicant: &pkiv1.Person{Username: applicant}}}
}

func (o *office) target(t *testing.T) registration.Target {
	t.Helper()
	target, _, err := policy.RequestTarget(o.req)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func (o *office) open(t *testing.T) {
	t.Helper()
	if _, err := o.store.Open(t.Context(), registration.Opened{Target: o.target(t), Applicant: applicant, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

func (o *office) decision(t *testing.T, name, person string) *pkiv1.Approval {
	t.Helper()
	target := o.target(t)
	return &pkiv1.Approval{ObjectMeta: o.Meta(name), Spec: pkiv1.ApprovalSpec{TargetRef: pkiv1.ApprovalTarget{Kind: target.Kind, Name: target.Name},
		RequestDigest: hex.EncodeToString(target.Digest[:]), Decision: pkiv1.DecisionApprove, Approver: &pkiv1.Person{Username: person}}}
}

// want reconciles and compares "Taken, how many the store has".
func (o *office) want(t *testing.T, a *pkiv1.Approval, want string, says ...string) {
	t.Helper()
	_, err := controllertest.Reconcile(t, o.Client, &approval.Reconciler{Client: o.Client, Store: o.store}, a)
	if err != nil && !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Fatal(err)
	}
	taken, err := o.store.Approvals(t.Context(), o.target(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%s, %d", controllertest.Reason(a, pkiv1.ConditionTaken), len(taken)); got != want {
		t.Errorf("got %s, want %s: %s", got, want, controllertest.Message(a, pkiv1.ConditionTaken))
	}
	for _, w := range says {
		if got := controllertest.Message(a, pkiv1.ConditionTaken); !strings.Contains(got, w) {
			t.Errorf("message %q does not say %q", got, w)
		}
	}
}

func TestTakenOnce(t *testing.T) {
	o := newOffice(t)
	a := o.decision(t, "a", reviewer)
	o.Create(t, a)
	o.want(t, a, "True/Succeeded, 1")
	o.want(t, a, "True/Succeeded, 1")

	// Deleted it takes nothing back; created again it changes nothing.
	o.Delete(t, a)
	again := o.decision(t, "a", reviewer)
	o.Create(t, again)
	o.want(t, again, "True/Adopted, 1")

	// The same after a restart, and when the request has gone.
	o.Delete(t, again)
	o.Delete(t, o.req)
	if err := o.store.Close(); err != nil {
		t.Fatal(err)
	}
	o.store = o.Registration(t, sqlite.OpenRegistration)
	last := o.decision(t, "a", reviewer)
	o.Create(t, last)
	o.want(t, last, "True/Adopted, 1")
}

func TestNotTaken(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(o *office, a *pkiv1.Approval)
		want   string
		says   []string
	}{
		"by the applicant":       {func(_ *office, a *pkiv1.Approval) { a.Spec.Approver.Username = applicant }, "False/ApproverIsApplicant, 1", []string{"spec.approver", "somebody else"}},
		"by the same person":     {func(_ *office, a *pkiv1.Approval) { a.Spec.Approver.Username = "wang" }, "False/AlreadyDecided, 1", []string{"spec.approver", "first decision stands"}},
		"by nobody":              {func(_ *office, a *pkiv1.Approval) { a.Spec.Approver = nil }, "False/InvalidSpec, 1", []string{"spec.approver", "admission"}},
		"by a service account":   {func(_ *office, a *pkiv1.Approval) { a.Spec.Approver.Username = "system:serviceaccount:a:b" }, "False/InvalidSpec, 1", []string{"service account"}},
		"about other content":    {func(_ *office, a *pkiv1.Approval) { a.Spec.RequestDigest = strings.Repeat("0a", 32) }, "False/DigestMismatch, 1", []string{"spec.requestDigest", "decide anew"}},
		"about nothing":          {func(_ *office, a *pkiv1.Approval) { a.Spec.TargetRef.Name = "nobody" }, "False/ReferenceNotFound, 1", []string{"nobody"}},
		"under a name used once": {func(_ *office, a *pkiv1.Approval) { a.Name = "first" }, "False/IdentityConflict, 1", []string{"metadata.name", "new name"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			first := o.decision(t, "first", "wang")
			o.Create(t, first)
			o.want(t, first, "True/Succeeded, 1")
			o.Delete(t, first)
			a := o.decision(t, "a", reviewer)
			tc.change(o, a)
			o.Create(t, a)
			o.want(t, a, tc.want, tc.says...)
		})
	}
}

// TestStandsWithTheRA: only in the RA's namespace was the verb asked for.
func TestStandsWithTheRA(t *testing.T) {
	o := newOffice(t)
	req := o.newRequest(t, "gauge-2")
	req.Spec.RegistrationAuthorityRef.Namespace = "elsewhere"
	o.Create(t, req)
	o.req = req
	o.open(t)
	a := o.decision(t, "a", reviewer)
	o.Create(t, a)
	o.want(t, a, "False/InvalidSpec, 0", "metadata.namespace", "elsewhere")
}

func TestWaitsForTheRA(t *testing.T) {
	o := newOffice(t)
	o.req = o.newRequest(t, "gauge-2")
	o.Create(t, o.req)
	a := o.decision(t, "a", reviewer)
	o.Create(t, a)
	o.want(t, a, "False/ReferenceNotReady, 0", "policy")
	o.open(t)
	o.want(t, a, "True/Succeeded, 1")
}

// TestCALeftAlone: the process beside the issuing key takes decisions about CAs in.
func TestCALeftAlone(t *testing.T) {
	o := newOffice(t)
	a := o.decision(t, "a", reviewer)
	a.Spec.TargetRef.Kind = policy.KindBusinessCA
	a.Spec.Signature = &pkiv1.OfficerSignature{Officer: "officer", Value: []byte{1}}
	o.Create(t, a)
	o.want(t, a, "absent, 0")
}

func TestStoreIsAway(t *testing.T) {
	o := newOffice(t)
	a := o.decision(t, "a", reviewer)
	o.Create(t, a)
	if err := o.store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := controllertest.Reconcile(t, o.Client, &approval.Reconciler{Client: o.Client, Store: o.store}, a)
	if err == nil || errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("got error %v, want one that is retried with backoff", err)
	}
	if got := controllertest.Reason(a, pkiv1.ConditionTaken); got != "False/StoreUnavailable" {
		t.Errorf("Taken: got %s, want False/StoreUnavailable", got)
	}
	o.store = o.Registration(t, sqlite.OpenRegistration)
	o.want(t, a, "True/Succeeded, 1")
}
