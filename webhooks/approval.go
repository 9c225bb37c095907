package webhooks

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/internal/registration"
)

// approvalValidator lets people decide who may, about what is there to be decided.
type approvalValidator struct{ access }

// ValidateCreate judges who decides, then what about.
func (v approvalValidator) ValidateCreate(ctx context.Context, a *pkiv1.Approval) (admission.Warnings, error) {
	req, err := admission.RequestFromContext(ctx)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if registration.IsServiceAccount(req.UserInfo.Username) {
		return nil, forbidden("approvals", a.Name, fmt.Errorf("spec.approver: %q is a service account; only people approve: create it as yourself", req.UserInfo.Username))
	}
	if e := isUser("approver", a.Spec.Approver, req.UserInfo.Username); e != nil {
		return nil, refused(a, e)
	}
	if a.Spec.TargetRef.Kind == policy.KindBusinessCA {
		return nil, v.businessCA(ctx, a, req.UserInfo)
	}
	return v.certificateRequest(ctx, a, req.UserInfo)
}

// ValidateUpdate has nothing to judge: CEL keeps the spec as it is.
func (approvalValidator) ValidateUpdate(context.Context, *pkiv1.Approval, *pkiv1.Approval) (admission.Warnings, error) {
	return nil, nil
}

// ValidateDelete lets every Approval go: what was taken in stays.
func (approvalValidator) ValidateDelete(context.Context, *pkiv1.Approval) (admission.Warnings, error) {
	return nil, nil
}

var (
	targetPath = spec.Child("targetRef")
	digestPath = spec.Child("requestDigest")
)

func (v approvalValidator) certificateRequest(ctx context.Context, a *pkiv1.Approval, user authenticationv1.UserInfo) (admission.Warnings, error) {
	key := targetKey(a)
	var req pkiv1.CertificateRequest
	if err := v.reader.Get(ctx, key, &req); err != nil {
		return nil, missing(a, key, err)
	}
	ra := policy.AuthorityKey(req.Spec.RegistrationAuthorityRef, req.Namespace)
	if a.Namespace != ra.Namespace {
		return nil, refused(a, field.Invalid(field.NewPath("metadata", "namespace"), a.Namespace,
			fmt.Sprintf("the request's RA is %q in namespace %q: create the Approval there", ra.Name, ra.Namespace)))
	}
	if err := v.may(ctx, user, verbApprove, "registrationauthorities", ra); err != nil {
		return nil, forbidden("approvals", a.Name, err)
	}
	if applicant := req.Spec.Applicant; applicant != nil && applicant.Username == user.Username {
		return nil, forbidden("approvals", a.Name, fmt.Errorf("spec.approver: %q asked for this certificate, and nobody approves what they asked for; somebody else must decide", user.Username))
	}
	target, _, err := policy.RequestTarget(&req)
	if err != nil {
		return nil, refused(a, refuse(targetPath, errors.New("the request cannot be read, so that nothing about it can be decided")))
	}
	if now := hex.EncodeToString(target.Digest[:]); now != a.Spec.RequestDigest {
		return nil, refused(a, otherContent(a, "request", now))
	}
	return tooLate(&req), nil
}

// tooLate warns of a decision about what is decided. It is let in: the same
// Approval comes back, from a backup or by its maker, after it did its work.
func tooLate(req *pkiv1.CertificateRequest) admission.Warnings {
	for _, condition := range []string{pkiv1.ConditionPolicyPassed, pkiv1.ConditionApproved} {
		if c := meta.FindStatusCondition(req.Status.Conditions, condition); c != nil && c.Reason == pkiv1.ReasonDenied {
			return admission.Warnings{"this Approval changes nothing: the request is denied already; the applicant can ask again under another name"}
		}
	}
	if meta.IsStatusConditionTrue(req.Status.Conditions, pkiv1.ConditionIssued) {
		return admission.Warnings{fmt.Sprintf("this Approval changes nothing: the certificate is issued already (serial number %s); a CertificateRevocation can revoke it", req.Status.SerialNumber)}
	}
	return nil
}

// businessCA judges a decision about a subordinate CA. The process beside the
// issuing key verifies the officer's signature, and computes the digest itself.
func (v approvalValidator) businessCA(ctx context.Context, a *pkiv1.Approval, user authenticationv1.UserInfo) error {
	key := targetKey(a)
	if key.Namespace != a.Namespace {
		return refused(a, field.Invalid(field.NewPath("metadata", "namespace"), a.Namespace,
			fmt.Sprintf("the CA is in namespace %q: create the Approval there", key.Namespace)))
	}
	var ca pkiv1.BusinessCA
	if err := v.reader.Get(ctx, key, &ca); err != nil {
		return missing(a, key, err)
	}
	resource, issuer, err := issuingCA(&ca)
	if err != nil {
		return refused(a, refuse(targetPath, err))
	}
	if err := v.may(ctx, user, verbApprove, resource, issuer); err != nil {
		return forbidden("approvals", a.Name, err)
	}
	switch {
	case len(ca.Status.Certificate) > 0:
		return refused(a, refuse(targetPath, errors.New("the CA has its certificate already; a CertificateRevocation can revoke it")))
	case ca.Status.RequestDigest == "":
		return refused(a, refuse(digestPath, errors.New("the CA has no status.requestDigest yet: decide once its key is made")))
	case ca.Status.RequestDigest != a.Spec.RequestDigest:
		return refused(a, otherContent(a, "CA", ca.Status.RequestDigest))
	}
	return nil
}

// issuingCA names the object of the CA that issues a BusinessCA.
func issuingCA(ca *pkiv1.BusinessCA) (resource string, key types.NamespacedName, err error) {
	switch issuer := ca.Spec.Issuer; {
	case issuer.IndustryCARef != nil:
		return plural("IndustryCA"), types.NamespacedName{Namespace: ca.Namespace, Name: issuer.IndustryCARef.Name}, nil
	case issuer.BusinessCARef != nil:
		return plural("BusinessCA"), types.NamespacedName{Namespace: ca.Namespace, Name: issuer.BusinessCARef.Name}, nil
	}
	return "", key, errors.New("an issuer outside this API issues the CA, and decides there")
}

func targetKey(a *pkiv1.Approval) types.NamespacedName {
	ref := a.Spec.TargetRef
	if ref.Namespace == "" {
		ref.Namespace = a.Namespace
	}
	return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
}

func otherContent(a *pkiv1.Approval, what, now string) *field.Error {
	return field.Invalid(digestPath, a.Spec.RequestDigest,
		fmt.Sprintf("the decision is about other content: the %s has %s now; look at it again and decide anew (kubectl terrace approve shows it)", what, now))
}

func missing(a *pkiv1.Approval, key types.NamespacedName, err error) error {
	if !apierrors.IsNotFound(err) {
		return apierrors.NewInternalError(fmt.Errorf("read %s %s: %w", a.Spec.TargetRef.Kind, key, err))
	}
	return refused(a, field.NotFound(targetPath, fmt.Sprintf("%s %s (correct the name or the namespace)", a.Spec.TargetRef.Kind, key)))
}

func refused(a *pkiv1.Approval, e *field.Error) error {
	return apierrors.NewInvalid(pkiv1.GroupVersion.WithKind("Approval").GroupKind(), a.Name, field.ErrorList{e})
}
