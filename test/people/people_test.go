package people_test

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/controllertest"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/pki"
)

// People, and the program that applies what Git holds.
const (
	zhang = "zhang" // applicant
	li    = "li"    // reviewer
	wang  = "wang"  // reviewer
	sun   = "sun"   // revoker
	flux  = "system:serviceaccount:flux-system:flux"
)

// Roles of config/rbac/people.yaml.
const (
	applicants = "terrace-applicant"
	reviewers  = "terrace-reviewer"
	revokers   = "terrace-revoker"
)

func (m *ministry) newRequest(t *testing.T, name string) *pkiv1.CertificateRequest {
	t.Helper()
	return m.requestOf(name, m.Request(t, name, "CN=Gauge,C=CN"))
}

func (m *ministry) requestOf(name string, csr []byte) *pkiv1.CertificateRequest {
	return &pkiv1.CertificateRequest{ObjectMeta: m.Meta(name), Spec: pkiv1.CertificateRequestSpec{Request: csr,
		ProfileRef: pkiv1.LocalObjectReference{Name: "device"}, RegistrationAuthorityRef: pkiv1.NamespacedReference{Name: "ra"}}}
}

func (m *ministry) decision(req *pkiv1.CertificateRequest, name string) *pkiv1.Approval {
	digest := strings.Repeat("00", 32)
	if target, _, err := policy.RequestTarget(req); err == nil {
		digest = hex.EncodeToString(target.Digest[:])
	}
	return &pkiv1.Approval{ObjectMeta: m.Meta(name), Spec: pkiv1.ApprovalSpec{RequestDigest: digest, Decision: pkiv1.DecisionApprove,
		TargetRef: pkiv1.ApprovalTarget{Kind: "CertificateRequest", Name: req.Name}}}
}

func (m *ministry) revocation(name, request string) *pkiv1.CertificateRevocation {
	return &pkiv1.CertificateRevocation{ObjectMeta: m.Meta(name), Spec: pkiv1.CertificateRevocationSpec{Action: pkiv1.ActionRevoke, Reason: "Superseded",
		Target:                   pkiv1.RevocationTarget{RequestRef: &pkiv1.LocalObjectReference{Name: request}},
		RegistrationAuthorityRef: &pkiv1.NamespacedReference{Name: "ra"}}}
}

// until waits for a condition, "status/reason".
func until[T step.Object](t *testing.T, m *ministry, obj T, condition, want string) {
	t.Helper()
	m.eventually(t, obj.GetName()+" is "+condition+" "+want, func(ctx context.Context) (bool, string) {
		if err := m.Client.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return false, err.Error()
		}
		got := controllertest.Reason(obj, condition)
		return got == want, got + " " + controllertest.Message(obj, condition)
	})
}

func create(t *testing.T, c client.Client, obj client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, c client.Client, obj client.Object, want ...string) {
	t.Helper()
	err := c.Create(t.Context(), obj)
	if err == nil {
		t.Fatalf("%s was taken, want a refusal", obj.GetName())
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("message %q does not say %q", err, w)
		}
	}
}

// TestTwoReviewersAtOnce: both decisions count, and one certificate comes of it.
func TestTwoReviewersAtOnce(t *testing.T) {
	m := newMinistry(t)
	req := m.newRequest(t, "gauge")
	create(t, m.as(t, zhang, applicants), req)
	until(t, m, req, pkiv1.ConditionApproved, "False/AwaitingApproval")
	if req.Status.Approvals != "0/2" || req.Spec.Applicant.Username != zhang {
		t.Errorf("approvals %s, applicant %v", req.Status.Approvals, req.Spec.Applicant)
	}
	refused(t, m.as(t, zhang, applicants, reviewers), m.decision(req, "own"), "spec.approver", "asked for")
	refused(t, m.as(t, sun, revokers), m.decision(req, "revoker"), "cannot create resource")
	refused(t, m.as(t, flux, "system:masters"), m.decision(req, "robot"), "service account")

	var together sync.WaitGroup
	for _, person := range []string{li, wang} {
		c := m.as(t, person, reviewers)
		together.Go(func() {
			if err := c.Create(t.Context(), m.decision(req, person)); err != nil {
				t.Errorf("%s: %v", person, err)
			}
		})
	}
	together.Wait()
	until(t, m, req, pkiv1.ConditionReady, "True/Succeeded")
	if req.Status.Approvals != "2/2" {
		t.Errorf("approvals: got %s, want 2/2", req.Status.Approvals)
	}
	known, err := m.Issuer().Find(t.Context(), "CertificateRequest", req.Namespace, req.Name)
	if err != nil || string(known.Serial) != req.Status.SerialNumber {
		t.Errorf("the ledger has %s, status %s: %v", known.Serial, req.Status.SerialNumber, err)
	}
	// Both come back after they did their work; another one comes too late.
	for _, person := range []string{li, wang} {
		m.Delete(t, m.decision(req, person))
		again := m.decision(req, person)
		create(t, m.as(t, person, reviewers), again)
		until(t, m, again, pkiv1.ConditionTaken, "True/Adopted")
	}
	second := m.decision(req, "second")
	create(t, m.as(t, li, reviewers), second)
	until(t, m, second, pkiv1.ConditionTaken, "False/AlreadyDecided")
	late := m.decision(req, "late")
	late.Spec.Decision = pkiv1.DecisionDeny
	create(t, m.as(t, "zhou", reviewers), late)
	until(t, m, late, pkiv1.ConditionTaken, "True/Succeeded")
	before := req.DeepCopy()
	until(t, m, req, pkiv1.ConditionReady, "True/Succeeded")
	if req.ResourceVersion != before.ResourceVersion {
		t.Errorf("what came too late changed the request: %+v", req.Status)
	}
}

// TestDecisionComesBack: an Approval that is pruned and created again is one decision.
func TestDecisionComesBack(t *testing.T) {
	m := newMinistry(t)
	req := m.newRequest(t, "gauge")
	create(t, m.as(t, zhang, applicants), req)
	until(t, m, req, pkiv1.ConditionApproved, "False/AwaitingApproval")
	reviewer := m.as(t, li, reviewers)
	first := m.decision(req, "first")
	create(t, reviewer, first)
	until(t, m, first, pkiv1.ConditionTaken, "True/Succeeded")
	m.Delete(t, first)
	again := m.decision(req, "first")
	create(t, reviewer, again)
	until(t, m, again, pkiv1.ConditionTaken, "True/Adopted")
	second := m.decision(req, "second")
	create(t, reviewer, second)
	until(t, m, second, pkiv1.ConditionTaken, "False/AlreadyDecided")

	// The request is pruned too, and comes back as another person's: the first
	// applicant still may not decide, and li's decision still counts.
	m.Delete(t, req)
	m.eventually(t, "the request has gone", func(ctx context.Context) (bool, string) {
		err := m.Client.Get(ctx, client.ObjectKeyFromObject(req), &pkiv1.CertificateRequest{})
		return client.IgnoreNotFound(err) == nil && err != nil, errorText(err)
	})
	req = m.requestOf(req.Name, req.Spec.Request)
	create(t, m.as(t, flux, "system:masters"), req)
	until(t, m, req, pkiv1.ConditionApproved, "False/AwaitingApproval")
	if req.Status.Approvals != "1/2" {
		t.Errorf("approvals: got %s, want 1/2", req.Status.Approvals)
	}
	own := m.decision(req, "own") // admission sees flux as the applicant, the store knows better
	create(t, m.as(t, zhang, applicants, reviewers), own)
	until(t, m, own, pkiv1.ConditionTaken, "False/ApproverIsApplicant")
	last := m.decision(req, "last")
	create(t, m.as(t, wang, reviewers), last)
	until(t, m, req, pkiv1.ConditionReady, "True/Succeeded")
}

// TestChangedObject: a decision about one content is none about another.
func TestChangedObject(t *testing.T) {
	m := newMinistry(t)
	req := m.newRequest(t, "gauge")
	create(t, m.as(t, zhang, applicants), req)
	until(t, m, req, pkiv1.ConditionApproved, "False/AwaitingApproval")
	seen := m.decision(req, "seen")
	// While the reviewer reads, the request is replaced by another of its name.
	m.Delete(t, req)
	other := m.requestOf(req.Name, m.Request(t, "other", "CN=Gauge,C=CN"))
	m.eventually(t, "the other is there", func(ctx context.Context) (bool, string) {
		err := m.as(t, zhang, applicants).Create(ctx, other)
		return err == nil, errorText(err)
	})
	refused(t, m.as(t, li, reviewers), seen, "spec.requestDigest", "other content", "decide anew")
	until(t, m, other, pkiv1.ConditionReady, "False/IdentityConflict")
	// The spec itself cannot be changed.
	other.Spec.ProfileRef.Name = "another"
	if err := m.Client.Update(t.Context(), other); err == nil || !strings.Contains(err.Error(), "spec is immutable") {
		t.Errorf("update: got %v, want spec is immutable", err)
	}
}

// TestEverythingIsLost: all objects gone, and Git applies the same again. Nobody
// decides again, nothing is signed again, nothing is revoked again.
func TestEverythingIsLost(t *testing.T) {
	m := newMinistry(t)
	req := m.newRequest(t, "gauge")
	create(t, m.as(t, zhang, applicants), req)
	until(t, m, req, pkiv1.ConditionApproved, "False/AwaitingApproval")
	for _, person := range []string{li, wang} {
		create(t, m.as(t, person, reviewers), m.decision(req, person))
	}
	until(t, m, req, pkiv1.ConditionReady, "True/Succeeded")
	refused(t, m.as(t, li, reviewers), m.revocation("lost", req.Name), "cannot create resource")
	rev := m.revocation("lost", req.Name)
	create(t, m.as(t, sun, revokers), rev)
	until(t, m, rev, pkiv1.ConditionReady, "True/Succeeded")
	if rev.Spec.Requester.Username != sun || rev.Status.SerialNumber != req.Status.SerialNumber {
		t.Errorf("requester %v, serial %s, want %s and %s", rev.Spec.Requester, rev.Status.SerialNumber, sun, req.Status.SerialNumber)
	}
	before := m.revoked(t, req.Status.SerialNumber)

	m.stop()
	m.Wipe(t)
	m.Restart(t)
	m.start(t)
	// A request that waits for nobody: without the RA there is nothing to ask.
	git := m.as(t, flux, "system:masters")
	again, act := m.requestOf(req.Name, req.Spec.Request), m.revocation(rev.Name, req.Name)
	create(t, git, again)
	create(t, git, act)
	m.DeclareDevice(t)
	m.declare(t)
	until(t, m, again, pkiv1.ConditionIssued, "True/Adopted")
	until(t, m, act, pkiv1.ConditionPerformed, "True/Adopted")
	if again.Status.SerialNumber != req.Status.SerialNumber || string(again.Status.Certificate) != string(req.Status.Certificate) {
		t.Errorf("serial %s, want the certificate %s", again.Status.SerialNumber, req.Status.SerialNumber)
	}
	if !act.Status.PerformedAt.Equal(rev.Status.PerformedAt) {
		t.Errorf("performed at %v, the first time %v", act.Status.PerformedAt, rev.Status.PerformedAt)
	}
	if after := m.revoked(t, req.Status.SerialNumber); after != before {
		t.Errorf("revoked %s, before %s", after, before)
	}
}

func (m *ministry) revoked(t *testing.T, serial string) string {
	t.Helper()
	found, err := m.Store.FindSerial(t.Context(), pki.Serial(serial))
	if err != nil || len(found) != 1 || found[0].Revocation == nil {
		t.Fatalf("serial %s: %v, %v", serial, found, err)
	}
	return found[0].Revocation.Reason.String() + " at " + found[0].Revocation.At.String()
}
