package approval

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/registration"
)

// lookAgain is how often an Approval that waits for its request is looked at
// besides the watch.
const lookAgain = time.Minute

// take checks the decision against the request and has the store take it in.
// What the store took in before is shown again, also when the request is gone.
func (r *Reconciler) take(ctx context.Context, a *pkiv1.Approval) error {
	decision, err := read(a)
	if err != nil {
		return err
	}
	taken, err := r.isTaken(ctx, decision)
	if err != nil {
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	if taken {
		return &step.Succeeded{Reason: pkiv1.ReasonAdopted, Message: "the decision was taken in before"}
	}
	if err := r.check(ctx, a, decision); err != nil {
		return err
	}
	_, err = r.Store.Take(ctx, decision)
	return takeError(err)
}

// read makes a decision of the object; admission has written who decides.
func read(a *pkiv1.Approval) (registration.Approval, error) {
	if a.Spec.Approver == nil {
		return registration.Approval{}, step.Stalled(pkiv1.ReasonInvalidSpec,
			"spec.approver: is missing; admission writes it: delete this Approval and create it again while the webhooks work")
	}
	user := a.Spec.Approver.Username
	if registration.IsServiceAccount(user) {
		return registration.Approval{}, step.Stalled(pkiv1.ReasonInvalidSpec, "spec.approver: %q is a service account; only people approve", user)
	}
	digest, err := hex.DecodeString(a.Spec.RequestDigest)
	if err != nil || len(digest) != 32 {
		return registration.Approval{}, step.Stalled(pkiv1.ReasonInvalidSpec, "spec.requestDigest: is not 64 hexadecimal digits; give the request's status.requestDigest")
	}
	t := target(a)
	decision := registration.Approve
	if a.Spec.Decision == pkiv1.DecisionDeny {
		decision = registration.Deny
	}
	return registration.Approval{Namespace: a.Namespace, Name: a.Name, Approver: user, Decision: decision, At: time.Now(),
		Target: registration.Target{Kind: policy.KindCertificateRequest, Namespace: t.Namespace, Name: t.Name, Digest: [32]byte(digest)}}, nil
}

func (r *Reconciler) isTaken(ctx context.Context, decision registration.Approval) (bool, error) {
	all, err := r.Store.Approvals(ctx, decision.Target)
	if err != nil {
		return false, err
	}
	for _, a := range all {
		if a.Namespace == decision.Namespace && a.Name == decision.Name && a.Approver == decision.Approver && a.Decision == decision.Decision {
			return true, nil
		}
	}
	return false, nil
}

// check compares the decision with the request that is there now.
func (r *Reconciler) check(ctx context.Context, a *pkiv1.Approval, decision registration.Approval) error {
	key := target(a)
	var req pkiv1.CertificateRequest
	if err := r.Client.Get(ctx, key, &req); err != nil {
		if apierrors.IsNotFound(err) {
			return waiting(pkiv1.ReasonReferenceNotFound, "CertificateRequest %q is not there", key)
		}
		return fmt.Errorf("read CertificateRequest %q: %w", key, err)
	}
	now, _, err := policy.RequestTarget(&req)
	if err != nil {
		return step.Stalled(pkiv1.ReasonDigestMismatch, "CertificateRequest %q cannot be read, so that nothing about it can be decided", key)
	}
	if now.Digest != decision.Target.Digest {
		return step.Stalled(pkiv1.ReasonDigestMismatch,
			"spec.requestDigest: the decision is about other content; the request has %x: look at it again and decide anew", now.Digest)
	}
	// The verb is asked for on the RA of this namespace, so a decision that
	// stands elsewhere was never authorised.
	if ra := policy.AuthorityKey(req.Spec.RegistrationAuthorityRef, req.Namespace); ra.Namespace != a.Namespace {
		return step.Stalled(pkiv1.ReasonInvalidSpec, "metadata.namespace: the request's RA is %q; decisions about it stand in namespace %q", ra, ra.Namespace)
	}
	return nil
}

func waiting(reason, format string, args ...any) error {
	w := step.Waiting(reason, format, args...)
	w.RequeueAfter = lookAgain
	return w
}

func takeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, registration.ErrApprovalConflict):
		return step.Stalled(pkiv1.ReasonIdentityConflict, "metadata.name: %v", err)
	case errors.Is(err, registration.ErrNotOpened):
		return waiting(pkiv1.ReasonReferenceNotReady, "%v yet: it waits until the request has passed the RA's policy", err)
	case errors.Is(err, registration.ErrApproverIsApplicant):
		return step.Stalled(pkiv1.ReasonApproverIsApplicant, "spec.approver: %v: somebody else must decide", err)
	case errors.Is(err, registration.ErrAlreadyDecided):
		return step.Stalled(pkiv1.ReasonAlreadyDecided, "spec.approver: %v; the first decision stands, and another one needs another person", err)
	}
	return step.Failed(pkiv1.ReasonStoreUnavailable, err)
}
