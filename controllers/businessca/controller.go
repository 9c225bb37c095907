// Package businessca reconciles BusinessCA (业务CA): a key in a device and a
// certificate from the IndustryCA, from another BusinessCA, or from outside.
package businessca

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/smx509"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/certificateauthority"
	"github.com/terrace-pki/terrace/controllers/deletion"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/limits"
	"github.com/terrace-pki/terrace/internal/pki"
)

// backdate of a CA certificate's notBefore.
const backdate = 5 * time.Minute

// Reconciler reconciles BusinessCA.
type Reconciler struct {
	Client      client.Client
	Authorities *authority.Service
	// Limits says how many officers must sign for a CA below one of this
	// process; nil: none.
	Limits *limits.Limits
	Now    func() time.Time
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	refers := func(item, changed client.Object) bool { return item.GetNamespace() == changed.GetNamespace() }
	list := &pkiv1.BusinessCAList{}
	return ctrl.NewControllerManagedBy(mgr).For(&pkiv1.BusinessCA{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).Named("businessca").
		Watches(&pkiv1.CryptoDevice{}, step.EnqueueNeighbours(r.Client, list, refers)).
		Watches(&pkiv1.ValidationService{}, step.EnqueueNeighbours(r.Client, list, refers)).
		Watches(&pkiv1.IndustryCA{}, step.EnqueueNeighbours(r.Client, list, refers)).
		Watches(&pkiv1.BusinessCA{}, step.EnqueueNeighbours(r.Client, list, issuedBy)).
		Watches(&pkiv1.Approval{}, step.EnqueueNeighbours(r.Client, list, decides)).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

func issuedBy(item, changed client.Object) bool {
	ref := item.(*pkiv1.BusinessCA).Spec.Issuer.BusinessCARef
	return item.GetNamespace() == changed.GetNamespace() && ref != nil && ref.Name == changed.GetName()
}

// Reconcile brings the key, the certificate and the accepted spec about.
func (r *Reconciler) Reconcile(ctx context.Context, ca *pkiv1.BusinessCA) (ctrl.Result, error) {
	name := "BusinessCA/" + ca.Namespace + "/" + ca.Name
	guarded, err := deletion.Guard(ctx, r.Client, ca, ca.Spec.DeletionPolicy, deletion.Authority(r.Authorities, r.Now, name))
	if err != nil || guarded.Gone {
		return ctrl.Result{}, err
	}
	if len(guarded.Held) > 0 {
		// Nothing new is begun; no key is destroyed, and CRLs go on from the ledger.
		return step.Run(ctx, r.Client, ca, certificateauthority.StatusInterval, guarded.Held...)
	}
	s := &certificateauthority.Steps{Client: r.Client, Authorities: r.Authorities, Now: r.Now,
		Authority: name, Namespace: ca.Namespace, Common: &ca.Spec.CACommon, Status: &ca.Status}
	return step.Run(ctx, r.Client, ca, certificateauthority.StatusInterval,
		step.Step{Condition: pkiv1.ConditionKeyReady, Do: s.EnsureKey},
		step.Step{Condition: pkiv1.ConditionCertificateReady, Do: func(ctx context.Context) error { return r.ensureCertificate(ctx, s, ca) }},
		step.Step{Condition: pkiv1.ConditionSpecAccepted, Do: func(ctx context.Context) error { return s.Accept(ctx, false) }})
}

func (r *Reconciler) ensureCertificate(ctx context.Context, s *certificateauthority.Steps, ca *pkiv1.BusinessCA) error {
	if ca.Spec.Issuer.External != nil {
		return importCertificate(s, ca.Spec.Issuer.External)
	}
	issuer, status, err := r.issuer(ctx, ca)
	if err != nil {
		return err
	}
	chain, err := certificateauthority.ChainOf(status)
	if err != nil {
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "%s has no certificate yet", issuer)
	}
	subject, err := s.Subject()
	if err != nil {
		return err
	}
	what := digest(ca, subject)
	ca.Status.RequestDigest = hex.EncodeToString(what[:])
	if err := r.approved(ctx, ca, issuer, what); err != nil {
		return err
	}
	outcomes, err := r.Authorities.Issue(ctx, authority.IssuerKey{Authority: issuer, Generation: status.KeyGeneration}, []authority.Order{{
		Identity: authority.Identity{Kind: kind, Namespace: ca.Namespace, Name: ca.Name, Digest: what},
		Profile:  pki.CAProfile(int(ca.Spec.PathLength), ca.Spec.Validity.Duration, backdate),
		Subject:  subject, PublicKey: s.PublicKey(),
	}})
	if err == nil {
		err = outcomes[0].Err
	}
	if err != nil {
		return issueError(err)
	}
	cert, err := smx509.ParseCertificate(outcomes[0].Record.Certificate)
	if err != nil {
		return err
	}
	if err := s.CheckCertificate(cert, chain); err != nil {
		return err
	}
	s.Show(cert, chain)
	if outcomes[0].Adopted {
		return &step.Succeeded{Reason: pkiv1.ReasonAdopted, Message: "the ledger has the certificate"}
	}
	return nil
}

// issuer returns the authority name and status of the issuing CA, which must be Ready.
func (r *Reconciler) issuer(ctx context.Context, ca *pkiv1.BusinessCA) (string, *pkiv1.CAStatus, error) {
	var obj step.Object
	var status *pkiv1.CAStatus
	var kind, name string
	if ref := ca.Spec.Issuer.IndustryCARef; ref != nil {
		o := &pkiv1.IndustryCA{}
		obj, status, kind, name = o, &o.Status.CAStatus, "IndustryCA", ref.Name
	} else {
		o := &pkiv1.BusinessCA{}
		obj, status, kind, name = o, &o.Status, "BusinessCA", ca.Spec.Issuer.BusinessCARef.Name
	}
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: ca.Namespace, Name: name}, obj); err != nil {
		if apierrors.IsNotFound(err) {
			return "", nil, step.Waiting(pkiv1.ReasonReferenceNotFound, "%s %q is not there", kind, name)
		}
		return "", nil, err
	}
	if !step.IsReady(obj) {
		return "", nil, step.Waiting(pkiv1.ReasonReferenceNotReady, "%s %q is not Ready", kind, name)
	}
	return kind + "/" + ca.Namespace + "/" + name, status, nil
}

func importCertificate(s *certificateauthority.Steps, ext *pkiv1.ExternalIssuer) error {
	if len(ext.Certificate) == 0 || len(ext.Chain) == 0 {
		return step.Waiting(pkiv1.ReasonAwaitingCertificate,
			"have the issuer certify status.certificateSigningRequest, then set spec.issuer.external.certificate and chain")
	}
	cert, err := certificateauthority.ParseField("spec.issuer.external.certificate", ext.Certificate)
	if err != nil {
		return err
	}
	chain, err := pki.ParseCertificatesPEM(ext.Chain, certificateauthority.MaxChain)
	if err != nil {
		return step.Stalled(pkiv1.ReasonCertificateInvalid, "spec.issuer.external.chain: %v", err)
	}
	if err := s.CheckCertificate(cert, chain); err != nil {
		return err
	}
	s.Show(cert, chain)
	return nil
}

func issueError(err error) error {
	var lint *issuance.LintError
	switch {
	case errors.Is(err, authority.ErrConflict):
		return step.Stalled(pkiv1.ReasonCertificateInvalid, "%v", err)
	case errors.Is(err, authority.ErrRestored):
		return step.Waiting(pkiv1.ReasonLedgerRestored, "%v", err)
	case errors.Is(err, authority.ErrPaused):
		return step.Waiting(pkiv1.ReasonIssuancePaused, "%v", err)
	case errors.Is(err, authority.ErrCARevoked): // a hold may be released
		return &step.NotReady{Reason: pkiv1.ReasonIssuerRevoked, Message: err.Error(), Stalled: true, RequeueAfter: time.Minute}
	case errors.Is(err, limits.ErrRefused):
		return &step.NotReady{Reason: pkiv1.ReasonDenied, Message: err.Error(), Stalled: true, RequeueAfter: time.Minute}
	case errors.As(err, &lint):
		return step.Stalled(pkiv1.ReasonCertificateInvalid, "%v", err)
	case errors.Is(err, authority.ErrUnknownCA), errors.Is(err, authority.ErrBusy):
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "%v", err)
	case errors.Is(err, device.ErrUnavailable):
		return step.Failed(pkiv1.ReasonDeviceUnavailable, err)
	}
	return step.Failed(pkiv1.ReasonStoreUnavailable, err)
}

// digest is SM3 over the immutable fields that decide the certificate, each
// with its length, under the domain "terrace/businessca/v1". The key is not
// among them: the ledger ties it to the name.
func digest(ca *pkiv1.BusinessCA, subject pki.Name) [32]byte {
	issuer := "IndustryCA/"
	if ca.Spec.Issuer.IndustryCARef != nil {
		issuer += ca.Spec.Issuer.IndustryCARef.Name
	} else {
		issuer = "BusinessCA/" + ca.Spec.Issuer.BusinessCARef.Name
	}
	var b []byte
	for _, field := range [][]byte{[]byte("terrace/businessca/v1"), subject.DER(), []byte(issuer),
		binary.BigEndian.AppendUint64(nil, uint64(ca.Spec.Validity.Duration)), binary.BigEndian.AppendUint32(nil, uint32(ca.Spec.PathLength))} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	return sm3.Sum(b)
}
