package webhooks

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/internal/pki"
)

// revocationValidator lets those revoke who may: in the name of an RA, or of
// the CA that issued a CA.
type revocationValidator struct{ access }

// ValidateCreate judges who asks. Whether the act fits the certificate is for
// the ledger to say: the same object is created again after it was done.
func (v revocationValidator) ValidateCreate(ctx context.Context, rev *pkiv1.CertificateRevocation) (admission.Warnings, error) {
	req, err := admission.RequestFromContext(ctx)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if e := isUser("requester", rev.Spec.Requester, req.UserInfo.Username); e != nil {
		return nil, invalidRevocation(rev, e)
	}
	if n := rev.Spec.Target.SerialNumber; n != "" {
		if _, err := pki.ParseSerial(n); err != nil {
			return nil, invalidRevocation(rev, refuse(spec.Child("target", "serialNumber"), err))
		}
	}
	rights, err := v.onBehalfOf(ctx, rev)
	if err != nil {
		return nil, err
	}
	for _, on := range rights {
		if err = v.may(ctx, req.UserInfo, verbRevoke, on.resource, on.key); err == nil {
			return nil, nil
		}
	}
	return nil, forbidden("certificaterevocations", rev.Name, err)
}

// right is an object on which a requester may have the verb. Without a name it
// is every one of the namespace.
type right struct {
	resource string
	key      types.NamespacedName
}

// onBehalfOf lists the objects of which the requester needs the verb on one.
func (v revocationValidator) onBehalfOf(ctx context.Context, rev *pkiv1.CertificateRevocation) ([]right, error) {
	if signer := rev.Spec.Target.TrustListSignerRef; signer != nil {
		return []right{{plural("IndustryCA"), types.NamespacedName{Namespace: rev.Namespace, Name: signer.Name}}}, nil
	}
	ref := rev.Spec.Target.CertificateAuthorityRef
	if ref == nil {
		return []right{{"registrationauthorities", policy.AuthorityKey(*rev.Spec.RegistrationAuthorityRef, rev.Namespace)}}, nil
	}
	path := spec.Child("target", "certificateAuthorityRef")
	key := types.NamespacedName{Namespace: rev.Namespace, Name: ref.Name}
	var ca pkiv1.BusinessCA
	if err := v.reader.Get(ctx, key, &ca); err != nil {
		if apierrors.IsNotFound(err) {
			// Git asks about all objects before it applies the first: were this one
			// refused, nothing of a lost cluster would come back. Who issued the CA
			// is not known, so the right must be one on all that can have.
			every := types.NamespacedName{Namespace: rev.Namespace}
			return []right{{plural("IndustryCA"), every}, {plural("BusinessCA"), every}}, nil
		}
		return nil, apierrors.NewInternalError(fmt.Errorf("read BusinessCA %s: %w", key, err))
	}
	resource, issuer, err := issuingCA(&ca)
	if err != nil {
		return nil, invalidRevocation(rev, refuse(path, err))
	}
	return []right{{resource, issuer}}, nil
}

// ValidateUpdate has nothing to judge: CEL keeps the spec as it is.
func (revocationValidator) ValidateUpdate(context.Context, *pkiv1.CertificateRevocation, *pkiv1.CertificateRevocation) (admission.Warnings, error) {
	return nil, nil
}

// ValidateDelete lets every CertificateRevocation go: what was done stays done.
func (revocationValidator) ValidateDelete(context.Context, *pkiv1.CertificateRevocation) (admission.Warnings, error) {
	return nil, nil
}

func invalidRevocation(rev *pkiv1.CertificateRevocation, e *field.Error) error {
	return apierrors.NewInvalid(pkiv1.GroupVersion.WithKind(policy.KindCertificateRevocation).GroupKind(), rev.Name, field.ErrorList{e})
}
