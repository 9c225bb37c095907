package webhooks

import (
	"context"
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
	for kind, setup := range map[string]func() error{
		"CertificateRequest":    func() error { return setup(mgr, &pkiv1.CertificateRequest{}, certificateRequest) },
		"CertificateProfile":    func() error { return setup(mgr, &pkiv1.CertificateProfile{}, certificateProfile) },
		"RegistrationAuthority": func() error { return setup(mgr, &pkiv1.RegistrationAuthority{}, registrationAuthority) },
		"IndustryCA":            func() error { return setup(mgr, &pkiv1.IndustryCA{}, industryCA) },
		"ValidationService":     func() error { return setup(mgr, &pkiv1.ValidationService{}, validationService) },
		"BusinessCA":            func() error { return setup(mgr, &pkiv1.BusinessCA{}, businessCA) },
	} {
		if err := setup(); err != nil {
			return fmt.Errorf("webhook of %s: %w", kind, err)
		}
	}
	return nil
}

func setup[T client.Object](mgr ctrl.Manager, obj T, check func(T) field.ErrorList) error {
	return ctrl.NewWebhookManagedBy(mgr, obj).WithValidator(validator[T]{check}).Complete()
}

// validator refuses creations and changes that check finds errors in.
type validator[T client.Object] struct {
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
	return apierrors.NewInvalid(pkiv1.GroupVersion.WithKind(fmt.Sprintf("%T", obj)[len("*v1alpha1."):]).GroupKind(), obj.GetName(), errs)
}
