package webhooks

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
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
		setupPeople(mgr),
		setup(mgr, "CertificateProfile", &pkiv1.CertificateProfile{}, certificateProfile),
		setup(mgr, "RegistrationAuthority", &pkiv1.RegistrationAuthority{}, registrationAuthority),
		setup(mgr, "IndustryCA", &pkiv1.IndustryCA{}, industryCA),
		setup(mgr, "BusinessCA", &pkiv1.BusinessCA{}, businessCA),
		setup(mgr, "ValidationService", &pkiv1.ValidationService{}, validationService),
		setupDeletion(mgr),
	)
}

func setup[T client.Object](mgr ctrl.Manager, kind string, obj T, check func(T) field.ErrorList) error {
	return register(mgr, kind, obj, validator[T]{kind: kind, check: check})
}

func register[T client.Object](mgr ctrl.Manager, kind string, obj T, v admission.Validator[T]) error {
	if err := ctrl.NewWebhookManagedBy(mgr, obj).WithValidator(v).Complete(); err != nil {
		return fmt.Errorf("webhook of %s: %w", kind, err)
	}
	return nil
}

// validator refuses creations and changes that check finds errors in.
type validator[T client.Object] struct {
	kind  string
	check func(T) field.ErrorList
	warn  func(T) admission.Warnings // optional
}

func (v validator[T]) ValidateCreate(_ context.Context, obj T) (admission.Warnings, error) {
	if err := v.invalid(obj); err != nil || v.warn == nil {
		return nil, err
	}
	return v.warn(obj), nil
}

// ValidateUpdate lets an object go whose deletion waits for a finalizer, and
// whose spec stays: rules that came later must not hold up its metadata.
func (v validator[T]) ValidateUpdate(_ context.Context, old, obj T) (admission.Warnings, error) {
	if obj.GetDeletionTimestamp() != nil || sameSpec(old, obj) {
		return nil, nil
	}
	return nil, v.invalid(obj)
}

// sameSpec says whether two objects have one spec.
func sameSpec(old, obj client.Object) bool {
	before, err := runtime.DefaultUnstructuredConverter.ToUnstructured(old)
	if err != nil {
		return false
	}
	after, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	return err == nil && equality.Semantic.DeepEqual(before["spec"], after["spec"])
}

func (v validator[T]) ValidateDelete(context.Context, T) (admission.Warnings, error) { return nil, nil }

func (v validator[T]) invalid(obj T) error {
	errs := v.check(obj)
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(pkiv1.GroupVersion.WithKind(v.kind).GroupKind(), obj.GetName(), errs)
}
