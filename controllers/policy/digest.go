package policy

import (
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// AuthorityKey names the RegistrationAuthority that a reference from an object
// of a namespace means.
func AuthorityKey(ref pkiv1.NamespacedReference, namespace string) client.ObjectKey {
	if ref.Namespace == "" {
		ref.Namespace = namespace
	}
	return client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
}

// RequestTarget is what people decide about when they decide about a request:
// its digest is computed from the spec, not read from the status.
func RequestTarget(req *pkiv1.CertificateRequest) (registration.Target, *pki.Request, error) {
	parsed, err := pki.ParseRequest(req.Spec.Request)
	if err != nil {
		return registration.Target{}, nil, fmt.Errorf("spec.request: %w", err)
	}
	return registration.Target{Kind: KindCertificateRequest, Namespace: req.Namespace, Name: req.Name,
		Digest: registration.Digest(requestContent(req, parsed.DER))}, parsed, nil
}

// Kinds in identities and targets, as the ledger and the RA's store write them.
const (
	KindCertificateRequest    = "CertificateRequest"
	KindCertificateRevocation = "CertificateRevocation"
	KindBusinessCA            = "BusinessCA"
)

// requestContent lists the fields of the request's identity.
func requestContent(req *pkiv1.CertificateRequest, der []byte) registration.Content {
	ra := AuthorityKey(req.Spec.RegistrationAuthorityRef, req.Namespace)
	c := registration.Content{RequestDER: der, Profile: req.Spec.ProfileRef.Name, RegistrationNamespace: ra.Namespace, RegistrationName: ra.Name}
	for _, use := range req.Spec.Certificates {
		c.Certificates = append(c.Certificates, string(use))
	}
	for _, v := range req.Spec.Identity {
		f := registration.IdentityField{Name: v.Name, Value: v.Value}
		if v.SecretRef != nil {
			f.SecretName, f.SecretKey = v.SecretRef.Name, v.SecretRef.Key
		}
		c.Identity = append(c.Identity, f)
	}
	return c
}

// ActDigest is the digest of what a CertificateRevocation asks for.
func ActDigest(rev *pkiv1.CertificateRevocation) [32]byte {
	target := rev.Spec.Target
	if serial, err := pki.ParseSerial(target.SerialNumber); err == nil {
		target.SerialNumber = string(serial) // one number, however it is written
	}
	c := registration.ActContent{Serial: target.SerialNumber, Action: string(rev.Spec.Action), Reason: string(rev.Spec.Reason)}
	if target.RequestRef != nil {
		c.Request = target.RequestRef.Name
	}
	if target.CertificateAuthorityRef != nil {
		c.CertificateAuthority = target.CertificateAuthorityRef.Name
	}
	if target.TrustListSignerRef != nil {
		c.CertificateAuthority = "TrustListSigner/" + target.TrustListSignerRef.Name // no object's name has a slash
	}
	if ref := rev.Spec.RegistrationAuthorityRef; ref != nil {
		ra := AuthorityKey(*ref, rev.Namespace)
		c.RegistrationNamespace, c.RegistrationName = ra.Namespace, ra.Name
	}
	return registration.ActDigest(c)
}
