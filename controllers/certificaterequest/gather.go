package certificaterequest

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/controllers/profile"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/registration"
)

// gather reads the RA, the profile and the identity values.
func (w *work) gather(ctx context.Context) error {
	key := policy.AuthorityKey(w.req.Spec.RegistrationAuthorityRef, w.req.Namespace)
	var ra pkiv1.RegistrationAuthority
	if err := w.Client.Get(ctx, key, &ra); err != nil {
		return notFound(err, "RegistrationAuthority", key.String())
	}
	rules, err := policy.FromAuthority(&ra)
	if err != nil {
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "RegistrationAuthority %q: %v", key, err)
	}
	w.ra, w.issuer = key, policy.Issuer(&ra)
	w.required = policy.RequiredApprovals(&ra, w.req.Spec.ProfileRef.Name)
	w.app = registration.Application{Request: w.parsed, Namespace: w.req.Namespace, ProfileName: w.req.Spec.ProfileRef.Name, Policy: rules}
	var p pkiv1.CertificateProfile
	if err := w.Client.Get(ctx, client.ObjectKey{Namespace: ra.Namespace, Name: w.req.Spec.ProfileRef.Name}, &p); err != nil {
		return notFound(err, "CertificateProfile", w.req.Spec.ProfileRef.Name)
	}
	if w.app.Profile, err = profile.FromSpec(p.Name, p.Spec); err != nil {
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "CertificateProfile %q: %v", p.Name, err)
	}
	w.app.Identity, err = w.identityValues(ctx)
	return err
}

// identityValues reads the values, those of persons from Secrets.
func (w *work) identityValues(ctx context.Context) (map[string]string, error) {
	values := map[string]string{}
	for _, v := range w.req.Spec.Identity {
		if v.SecretRef == nil {
			values[v.Name] = v.Value
			continue
		}
		var s corev1.Secret
		if err := w.Client.Get(ctx, client.ObjectKey{Namespace: w.req.Namespace, Name: v.SecretRef.Name}, &s); err != nil {
			return nil, notFound(err, "Secret", v.SecretRef.Name)
		}
		if s.Type != pkiv1.IdentitySecretType {
			return nil, step.Waiting(pkiv1.ReasonReferenceNotReady,
				"Secret %[1]q has not type %[2]s, which says that its values may stand in a certificate: delete it and create it anew (kubectl create secret generic %[1]s --type=%[2]s --from-literal=%[3]s=...)",
				s.Name, pkiv1.IdentitySecretType, v.SecretRef.Key)
		}
		b, ok := s.Data[v.SecretRef.Key]
		if !ok {
			return nil, step.Waiting(pkiv1.ReasonReferenceNotFound, "Secret %q has no key %q", v.SecretRef.Name, v.SecretRef.Key)
		}
		values[v.Name] = string(b)
	}
	return values, nil
}
