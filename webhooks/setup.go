package webhooks

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// SetupAll registers the webhook of every kind that has one. config/webhook
// has the configuration for the API server.
func SetupAll(mgr ctrl.Manager) error {
	return errors.Join(
		setup(mgr, "CertificateRequest", &pkiv1.CertificateRequest{}, certificateRequest),
		setup(mgr, "CertificateProfile", &pkiv1.CertificateProfile{}, certificateProfile),
		setup(mgr, "RegistrationAuthority", &pkiv1.RegistrationAuthority{}, registrationAuthority),
		setup(mgr, "IndustryCA", &pkiv1.IndustryCA{}, industryCA),
		setup(mgr, "BusinessCA", &pkiv1.BusinessCA{}, businessCA),
		setup(mgr, "ValidationService", &pkiv1.ValidationService{}, validationService),
	)
}

func setup[T client.Object](mgr ctrl.Manager, kind string, obj T, check func(T) field.ErrorList) error {
	if err := ctrl.NewWebhookManagedBy(mgr, obj).WithValidator(validator[T]{kind, check}).Complete(); err != nil {
		return fmt.Errorf("webhook of %s: %w", kind, err)
	}
	return nil
}

// validator refuses creations and changes that check finds errors in.
type validator[T client.Object] struct {
	kind  string
	check func(T) field.ErrorList
}

func (v validator[T]) ValidateCreate(_ context.Context, obj T) (admission.Warnings, error) {
	return nil, v.invalid(obj)
}

// ValidateUpdate lets an object go whose deletion waits for a finalizer.
func (v validator[T]) ValidateUpdate(_ context.Context, _, obj T) (admission.Warnings, error) {
	if obj.GetDeletionTimestamp() != nil {
		return nil, nil
	}
	return nil, v.invalid(obj)
}

func (v validator[T]) ValidateDelete(context.Context, T) (admission.Warnings, error) { return nil, nil }

func (v validator[T]) invalid(obj T) error {
	errs := v.check(obj)
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(pkiv1.GroupVersion.WithKind(v.kind).GroupKind(), obj.GetName(), errs)
}
