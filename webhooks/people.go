package webhooks

import (
	"context"
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
)

// setupPeople registers the webhooks of the objects by which people ask and
// decide: who it was is written into them, and whether they may is asked of the
// API server. They read without a cache: a decision must be about what is there now.
func setupPeople(mgr ctrl.Manager) error {
	mgr.GetWebhookServer().Register(stampPath, &webhook.Admission{Handler: stamp{}})
	a := access{reader: mgr.GetAPIReader(), client: mgr.GetClient()}
	return errors.Join(
		register(mgr, policy.KindCertificateRequest, &pkiv1.CertificateRequest{}, requestValidator{
			validator[*pkiv1.CertificateRequest]{kind: policy.KindCertificateRequest, check: certificateRequest, warn: ignoredExtensions}}),
		register(mgr, "Approval", &pkiv1.Approval{}, approvalValidator{access: a}),
		register(mgr, policy.KindCertificateRevocation, &pkiv1.CertificateRevocation{}, revocationValidator{access: a}),
	)
}

// requestValidator also looks at who asks.
type requestValidator struct {
	validator[*pkiv1.CertificateRequest]
}

// ValidateCreate judges the signing request by itself, and the applicant.
func (v requestValidator) ValidateCreate(ctx context.Context, r *pkiv1.CertificateRequest) (admission.Warnings, error) {
	req, err := admission.RequestFromContext(ctx)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if e := isUser("applicant", r.Spec.Applicant, req.UserInfo.Username); e != nil {
		return nil, apierrors.NewInvalid(pkiv1.GroupVersion.WithKind(v.kind).GroupKind(), r.Name, field.ErrorList{e})
	}
	return v.validator.ValidateCreate(ctx, r)
}

// plural is the resource of a kind: all of Terrace's that are asked about end in "s".
func plural(kind string) string { return strings.ToLower(kind) + "s" }
