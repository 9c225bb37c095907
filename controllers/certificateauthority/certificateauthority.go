// Package certificateauthority holds the steps that IndustryCA and BusinessCA share.
package certificateauthority

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"time"

	"github.com/emmansun/gmsm/smx509"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/pki"
)

// StatusInterval is how often the counts of a CA's status are brought up to date.
const StatusInterval = 30 * time.Second

// generation of the CA keys; roll-over raises it.
const generation = 1

// Steps works on one CA object.
type Steps struct {
	Client      client.Client
	Authorities *authority.Service
	Now         func() time.Time

	// Authority is "kind/namespace/name" of the object.
	Authority string
	Namespace string
	Common    *pkiv1.CACommon
	Status    *pkiv1.CAStatus
	// TrustList of an IndustryCA that makes trust lists.
	TrustList *pkiv1.TrustListSpec

	signer crypto.MessageSigner
}

// Key is the CA's issuer key.
func (s *Steps) Key() authority.IssuerKey {
	return authority.IssuerKey{Authority: s.Authority, Generation: generation}
}

// EnsureKey finds or makes the CA's key and shows its signing request.
func (s *Steps) EnsureKey(ctx context.Context) error {
	var dev pkiv1.CryptoDevice
	name := s.Common.DeviceRef.Name
	if err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, &dev); err != nil {
		if apierrors.IsNotFound(err) {
			return step.Waiting(pkiv1.ReasonReferenceNotFound, "CryptoDevice %q is not there", name)
		}
		return err
	}
	signer, _, err := s.Authorities.EnsureKey(ctx, s.Authority, generation, s.Namespace+"/"+name)
	switch {
	case errors.Is(err, authority.ErrKeyMissing), errors.Is(err, authority.ErrKeyMismatch), errors.Is(err, device.ErrMadeOutside):
		return &step.NotReady{Reason: pkiv1.ReasonKeyMissing, Message: err.Error(), Stalled: true, RequeueAfter: time.Minute}
	case errors.Is(err, device.ErrUnavailable):
		return step.Waiting(pkiv1.ReasonDeviceUnavailable, "%v", err)
	case err != nil:
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	s.signer = signer
	s.Status.KeyGeneration = generation
	return s.showRequest(ctx)
}

// showRequest puts the CSR into status.
func (s *Steps) showRequest(ctx context.Context) error {
	subject, err := s.Subject()
	if err != nil {
		return err
	}
	der, err := s.Authorities.EnsureRequest(ctx, s.signer, s.Authority, generation, subject)
	if err != nil {
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	s.Status.CertificateSigningRequest = pki.EncodePEM("CERTIFICATE REQUEST", der)
	return nil
}

// Subject parses the CA's name.
func (s *Steps) Subject() (pki.Name, error) {
	subject, err := pki.ParseName(s.Common.Subject)
	if err != nil {
		return pki.Name{}, step.Stalled(pkiv1.ReasonInvalidSpec, "spec.subject: %v", err)
	}
	return subject, nil
}

// PublicKey is the CA's own, after EnsureKey.
func (s *Steps) PublicKey() *ecdsa.PublicKey {
	pub, _ := s.signer.Public().(*ecdsa.PublicKey)
	return pub
}

func (s *Steps) isOwnKey(spki []byte) bool {
	own, err := authority.PublicKey(s.signer)
	return err == nil && bytes.Equal(own, spki)
}

// CheckCertificate refuses a certificate that is not this CA's, or whose chain
// does not hold now. chain is ordered issuer first, root last.
func (s *Steps) CheckCertificate(cert *smx509.Certificate, chain []*smx509.Certificate) error {
	subject, err := s.Subject()
	if err != nil {
		return err
	}
	switch {
	case !s.isOwnKey(cert.RawSubjectPublicKeyInfo):
		return step.Stalled(pkiv1.ReasonCertificateInvalid, "certificate is for another key: have the issuer certify status.certificateSigningRequest")
	case !cert.IsCA:
		return step.Stalled(pkiv1.ReasonCertificateInvalid, "certificate is not a CA's: basicConstraints must say CA:TRUE")
	}
	name, err := pki.ParseNameDER(cert.RawSubject)
	if err != nil || !name.Equal(subject) {
		return step.Stalled(pkiv1.ReasonCertificateInvalid, "certificate is for subject %q, want spec.subject %q", cert.Subject, s.Common.Subject)
	}
	if err := pki.VerifyChain(cert, chain, s.Now()); err != nil {
		return &step.NotReady{Reason: pkiv1.ReasonCertificateInvalid, Message: err.Error(), Stalled: true, RequeueAfter: time.Minute}
	}
	return nil
}

// Show puts the certificate and its chain into status.
func (s *Steps) Show(cert *smx509.Certificate, chain []*smx509.Certificate) {
	s.Status.Certificate = pki.EncodePEM("CERTIFICATE", cert.Raw)
	ders := make([][]byte, len(chain))
	for i, c := range chain {
		ders[i] = c.Raw
	}
	s.Status.Chain = pki.EncodePEM("CERTIFICATE", ders...)
	notAfter := metav1.NewTime(cert.NotAfter)
	s.Status.NotAfter = &notAfter
}

// Accept hands the spec to the ledger, so that issuance and CRLs use it.
func (s *Steps) Accept(ctx context.Context, onlyCAs bool) error {
	settings := authority.Settings{
		Key: s.Key(), Device: s.Namespace + "/" + s.Common.DeviceRef.Name, Label: authority.KeyLabel(s.Authority, generation),
		CRLInterval: s.Common.CRL.Interval.Duration, CRLOverlap: s.Common.CRL.Overlap.Duration, Shards: s.Common.CRL.Shards,
		Paused: s.Common.Issuance == pkiv1.IssuancePaused, OnlyCACertificates: onlyCAs,
	}
	if d := s.Common.CRL.DeltaInterval; d != nil {
		settings.DeltaInterval = d.Duration
	}
	if l := s.TrustList; l != nil {
		settings.TrustList = &authority.TrustListSettings{Device: settings.Device, Interval: l.Interval.Duration, Overlap: l.Overlap.Duration}
		if l.DeviceRef != nil {
			settings.TrustList.Device = s.Namespace + "/" + l.DeviceRef.Name
		}
	}
	for _, ref := range s.Common.DirectoryRefs {
		settings.Directories = append(settings.Directories, s.Namespace+"/"+ref.Name)
	}
	if ref := s.Common.ValidationServiceRef; ref != nil {
		var v pkiv1.ValidationService
		if err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: ref.Name}, &v); err != nil {
			if apierrors.IsNotFound(err) {
				return step.Waiting(pkiv1.ReasonReferenceNotFound, "ValidationService %q is not there", ref.Name)
			}
			return err
		}
		settings.BaseURL = v.Spec.BaseURL
		settings.Validation = s.Namespace + "/" + ref.Name
	}
	cert, err := pki.ParseCertificatePEM(s.Status.Certificate)
	if err != nil {
		return step.Failed(pkiv1.ReasonInvalidSpec, err)
	}
	settings.Certificate = cert.Raw
	chain, err := pki.ParseCertificatesPEM(s.Status.Chain, MaxChain)
	if err != nil {
		return step.Failed(pkiv1.ReasonInvalidSpec, err)
	}
	for _, c := range chain {
		settings.Chain = append(settings.Chain, c.Raw)
	}
	if err := s.Authorities.Accept(ctx, settings); err != nil {
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	n, err := s.Authorities.Count(ctx, s.Key())
	if err != nil {
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	s.Status.IssuedCertificates = n
	return nil
}

// MaxChain bounds the certificates above a CA.
const MaxChain = 8

// ParseField parses the certificate of a spec field.
func ParseField(field string, pem []byte) (*smx509.Certificate, error) {
	cert, err := pki.ParseCertificatePEM(pem)
	if err != nil {
		return nil, step.Stalled(pkiv1.ReasonCertificateInvalid, "%s: %v", field, err)
	}
	return cert, nil
}

// ChainOf returns a CA object's certificate and what stands above it, for the CAs below.
func ChainOf(st *pkiv1.CAStatus) ([]*smx509.Certificate, error) {
	own, err := pki.ParseCertificatePEM(st.Certificate)
	if err != nil {
		return nil, fmt.Errorf("parse issuer's certificate: %w", err)
	}
	above, err := pki.ParseCertificatesPEM(st.Chain, MaxChain)
	if err != nil {
		return nil, fmt.Errorf("parse issuer's chain: %w", err)
	}
	return append([]*smx509.Certificate{own}, above...), nil
}
