package certificaterequest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/certificaterequest"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/internal/registration"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

// newReviewed is an office whose RA asks for two approvals of device requests.
func newReviewed(t *testing.T) *office {
	t.Helper()
	tier, _ := newTier(t)
	setApprovals(t, tier, 2)
	return tier
}

func setApprovals(t *testing.T, tier *office, required int32) {
	t.Helper()
	ra := &pkiv1.RegistrationAuthority{}
	if err := tier.Client.Get(t.Context(), client.ObjectKey{Namespace: tier.Namespace, Name: raName}, ra); err != nil {
		t.Fatal(err)
	}
	ra.Spec.ApprovalPolicy, ra.Spec.Approvals = pkiv1.ApprovalNone, nil
	if required > 0 {
		ra.Spec.ApprovalPolicy = pkiv1.ApprovalReviewed
		ra.Spec.Approvals = []pkiv1.ProfileApprovals{{Profile: profileName, Required: required}}
	}
	tier.Update(t, ra)
}

// decide has a person decide about a request, as the Approval controller does.
func (o *office) decide(t *testing.T, req *pkiv1.CertificateRequest, person string, d registration.Decision) error {
	t.Helper()
	target, _, err := policy.RequestTarget(req)
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.store.Take(t.Context(), registration.Approval{Namespace: o.Namespace, Name: registration.ApprovalName(target, person), Target: target,
		Approver: person, Decision: d, At: time.Now()})
	return err
}

// want reconciles and compares "approvals, Approved, Ready".
func (o *office) want(t *testing.T, req *pkiv1.CertificateRequest, want string) {
	t.Helper()
	if _, err := reconcileRequest(t, o, req); err != nil && !errors.Is(err, reconcile.TerminalError(nil)) {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s, %s, %s", req.Status.Approvals, controllertest.Reason(req, pkiv1.ConditionApproved), controllertest.Reason(req, pkiv1.ConditionReady))
	if got != want {
		t.Fatalf("got %s, want %s: %s", got, want, controllertest.Message(req, pkiv1.ConditionReady))
	}
}

func TestTwoPeopleApprove(t *testing.T) {
	tier := newReviewed(t)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	tier.Create(t, req)
	tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
	for _, w := range []string{"0 of 2", "`approve`", "registrationauthorities ra", tier.Namespace, "kubectl terrace approve gauge-1"} {
		if got := controllertest.Message(req, pkiv1.ConditionApproved); !strings.Contains(got, w) {
			t.Errorf("message %q does not say %q", got, w)
		}
	}
	if err := tier.decide(t, req, applicant, registration.Approve); !errors.Is(err, registration.ErrApproverIsApplicant) {
		t.Errorf("the applicant's approval: %v", err)
	}
	for range 2 { // the same decision twice is one
		if err := tier.decide(t, req, "li", registration.Approve); err != nil {
			t.Fatal(err)
		}
	}
	tier.want(t, req, "1/2, False/AwaitingApproval, False/AwaitingApproval")
	if req.Status.SerialNumber != "" {
		t.Errorf("issued %s after one approval", req.Status.SerialNumber)
	}
	if err := tier.decide(t, req, "wang", registration.Approve); err != nil {
		t.Fatal(err)
	}
	tier.want(t, req, "2/2, True/Succeeded, True/Succeeded")
	serial := req.Status.SerialNumber

	// Pruned and applied again, by somebody else, it needs nobody any more:
	// neither with the RA's database nor with an empty one.
	for _, store := range []registration.Store{tier.store, emptyStore(t)} {
		tier.Delete(t, req)
		tier.store = store
		req = newRequest(tier, req.Name, req.Spec.Request)
		req.Spec.Applicant.Username = "system:serviceaccount:flux-system:flux"
		tier.Create(t, req)
		tier.want(t, req, ", True/Adopted, True/Succeeded")
		if req.Status.SerialNumber != serial {
			t.Errorf("created again: serial %s, want %s", req.Status.SerialNumber, serial)
		}
	}
}

// TestProgramAsks: the person behind a program may be a reviewer, so that one
// approval could be the applicant's own.
func TestProgramAsks(t *testing.T) {
	tier := newReviewed(t)
	setApprovals(t, tier, 1)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	req.Spec.Applicant.Username = "system:serviceaccount:flux-system:flux"
	tier.Create(t, req)
	tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
	if got := controllertest.Message(req, pkiv1.ConditionApproved); !strings.Contains(got, "two at least") || !strings.Contains(got, "service account") {
		t.Errorf("message %q does not say why two", got)
	}
	if err := tier.decide(t, req, "li", registration.Approve); err != nil {
		t.Fatal(err)
	}
	tier.want(t, req, "1/2, False/AwaitingApproval, False/AwaitingApproval")

	// A person who creates it again does not become the first applicant.
	tier.Delete(t, req)
	req = newRequest(tier, req.Name, req.Spec.Request)
	tier.Create(t, req)
	tier.want(t, req, "1/2, False/AwaitingApproval, False/AwaitingApproval")
	setApprovals(t, tier, 3)
	tier.want(t, req, "1/3, False/AwaitingApproval, False/AwaitingApproval")
	setApprovals(t, tier, 0)
	tier.want(t, req, ", True/NotRequired, True/Succeeded")
}

// TestCountStaysWithAdoption: people approved, the certificate was issued and
// the answer lost. The object that they decided about keeps its count.
func TestCountStaysWithAdoption(t *testing.T) {
	for name, shown := range map[string]bool{"the last count was shown": true, "the last count was not shown": false} {
		t.Run(name, func(t *testing.T) {
			tier := newReviewed(t)
			req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
			tier.Create(t, req)
			tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
			for _, person := range []string{"li", "wang"} {
				if err := tier.decide(t, req, person, registration.Approve); err != nil {
					t.Fatal(err)
				}
			}
			before := req.Status.DeepCopy()
			_, err := controllertest.Reconcile(t, tier.Client,
				&certificaterequest.Reconciler{Client: tier.Client, Issuer: deaf{tier.Issuer(), true}, Store: tier.store}, req)
			if !errors.Is(err, registration.ErrIssuerUnavailable) {
				t.Fatal(err)
			}
			if !shown { // we died before the status was written
				req.Status = *before
				if err := tier.Client.Status().Update(t.Context(), req); err != nil {
					t.Fatal(err)
				}
			}
			tier.want(t, req, "2/2, True/Adopted, True/Succeeded")
		})
	}
}

func emptyStore(t *testing.T) registration.Store {
	t.Helper()
	store, err := sqlite.OpenRegistration(t.Context(), t.TempDir()+"/registration.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func TestOneDenialEndsTheRequest(t *testing.T) {
	tier := newReviewed(t)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	tier.Create(t, req)
	tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
	for person, d := range map[string]registration.Decision{"li": registration.Approve, "wang": registration.Approve, "sun": registration.Deny} {
		if err := tier.decide(t, req, person, d); err != nil {
			t.Fatal(err)
		}
	}
	tier.want(t, req, "2/2, False/Denied, False/Denied")
	if got := controllertest.Reason(req, pkiv1.ConditionStalled); got != "True/Denied" {
		t.Errorf("Stalled: got %s, want True/Denied", got)
	}
	// It stays denied, also created again after the RA asks nobody any more.
	setApprovals(t, tier, 0)
	tier.want(t, req, "2/2, False/Denied, False/Denied")
	tier.Delete(t, req)
	req = newRequest(tier, req.Name, req.Spec.Request)
	tier.Create(t, req)
	tier.want(t, req, ", False/Denied, False/Denied")
}

// TestFirstApplicantStays: whoever deletes a request and creates it again must
// not make its first applicant a reviewer.
func TestFirstApplicantStays(t *testing.T) {
	tier := newReviewed(t)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	tier.Create(t, req)
	tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
	tier.Delete(t, req)
	req = newRequest(tier, req.Name, req.Spec.Request)
	req.Spec.Applicant.Username = "sun"
	tier.Create(t, req)
	tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
	if err := tier.decide(t, req, applicant, registration.Approve); !errors.Is(err, registration.ErrApproverIsApplicant) {
		t.Errorf("approval by the first applicant: got %v, want %v", err, registration.ErrApproverIsApplicant)
	}
}

func TestOtherContentWhileWaiting(t *testing.T) {
	tier := newReviewed(t)
	req := newRequest(tier, "gauge-1", tier.Request(t, "first", within))
	tier.Create(t, req)
	tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
	tier.Delete(t, req)
	other := newRequest(tier, req.Name, tier.Request(t, "second", within))
	tier.Create(t, other)
	tier.want(t, other, ", False/IdentityConflict, False/IdentityConflict")
	if got := controllertest.Message(other, pkiv1.ConditionReady); !strings.Contains(got, "new name") {
		t.Errorf("message %q does not say to take a new name", got)
	}
}

func TestNoApplicantNoReview(t *testing.T) {
	tier := newReviewed(t)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	req.Spec.Applicant = nil
	tier.Create(t, req)
	tier.want(t, req, ", False/InvalidSpec, False/InvalidSpec")
	setApprovals(t, tier, 0)
	tier.want(t, req, ", True/NotRequired, True/Succeeded")
}

// TestAnotherNumberOfApprovals: what was given counts when the RA asks for less.
func TestAnotherNumberOfApprovals(t *testing.T) {
	tier := newReviewed(t)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	tier.Create(t, req)
	tier.want(t, req, "0/2, False/AwaitingApproval, False/AwaitingApproval")
	if err := tier.decide(t, req, "li", registration.Approve); err != nil {
		t.Fatal(err)
	}
	setApprovals(t, tier, 1)
	tier.want(t, req, "1/1, True/Succeeded, True/Succeeded")
}

// deaf is a CA whose answers are lost. With done, it did what was asked.
type deaf struct {
	registration.Issuer
	done bool
}

func (d deaf) Issue(ctx context.Context, ca string, orders []registration.Order) ([]registration.Issued, error) {
	if d.done {
		if _, err := d.Issuer.Issue(ctx, ca, orders); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("issue: %w", registration.ErrIssuerUnavailable)
}

func TestAnswerIsLost(t *testing.T) {
	for name, done := range map[string]bool{"and nothing was issued": false, "but it was issued": true} {
		t.Run(name, func(t *testing.T) {
			tier, _ := newTier(t)
			req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
			tier.Create(t, req)
			_, err := controllertest.Reconcile(t, tier.Client,
				&certificaterequest.Reconciler{Client: tier.Client, Issuer: deaf{tier.Issuer(), done}, Store: tier.store}, req)
			if !errors.Is(err, registration.ErrIssuerUnavailable) || errors.Is(err, reconcile.TerminalError(nil)) {
				t.Errorf("got error %v, want one that is retried with backoff", err)
			}
			if got := controllertest.Reason(req, pkiv1.ConditionIssued); got != "False/IssuerUnavailable" {
				t.Errorf("Issued: got %s, want False/IssuerUnavailable", got)
			}
			before, err := tier.Issuer().Find(t.Context(), "CertificateRequest", req.Namespace, req.Name)
			if done != (err == nil) {
				t.Fatalf("the ledger has %s: %v", before.Serial, err)
			}
			if _, err := reconcileRequest(t, tier, req); err != nil {
				t.Fatal(err)
			}
			if got := controllertest.Reason(req, pkiv1.ConditionReady); got != "True/Succeeded" {
				t.Fatalf("Ready: got %s", got)
			}
			if done && req.Status.SerialNumber != string(before.Serial) {
				t.Errorf("serial %s, the first call issued %s", req.Status.SerialNumber, before.Serial)
			}
		})
	}
}

// TestCacheIsBehind: a request that is read as it was before it was issued must
// not be shown as one that was found issued.
func TestCacheIsBehind(t *testing.T) {
	tier, _ := newTier(t)
	req := newRequest(tier, "gauge-1", tier.Request(t, "gauge-1", within))
	tier.Create(t, req)
	stale := req.DeepCopy()
	if _, err := reconcileRequest(t, tier, req); err != nil {
		t.Fatal(err)
	}
	r := &certificaterequest.Reconciler{Client: tier.Client, Issuer: tier.Issuer(), Store: tier.store}
	result, err := r.Reconcile(t.Context(), stale)
	if err != nil || result.RequeueAfter == 0 {
		t.Errorf("got %v, error %v, want to be looked at again without one", result, err)
	}
	if _, err := reconcileRequest(t, tier, req); err != nil {
		t.Fatal(err)
	}
	if got := controllertest.Reason(req, pkiv1.ConditionIssued); got != "True/Succeeded" {
		t.Errorf("Issued: got %s, want True/Succeeded", got)
	}
}
