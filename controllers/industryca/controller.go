// Package industryca reconciles IndustryCA (行业CA): a key in a device, a
// certificate that the national root issued, and the ARL.
package industryca

import (
	"context"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"k8s.io/apimachinery/pkg/api/meta"
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
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/trustsigner"
)

// Reconciler reconciles IndustryCA.
type Reconciler struct {
	Client      client.Client
	Authorities *authority.Service
	// TrustLists signs the trust lists of this process.
	TrustLists *trustsigner.Service
	Now        func() time.Time
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	refers := func(item, changed client.Object) bool { return item.GetNamespace() == changed.GetNamespace() }
	return ctrl.NewControllerManagedBy(mgr).For(&pkiv1.IndustryCA{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).Named("industryca").
		Watches(&pkiv1.CryptoDevice{}, step.EnqueueNeighbours(r.Client, &pkiv1.IndustryCAList{}, refers)).
		Watches(&pkiv1.ValidationService{}, step.EnqueueNeighbours(r.Client, &pkiv1.IndustryCAList{}, refers)).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile brings the key, the imported certificate and the accepted spec about.
func (r *Reconciler) Reconcile(ctx context.Context, ca *pkiv1.IndustryCA) (ctrl.Result, error) {
	name := "IndustryCA/" + ca.Namespace + "/" + ca.Name
	guarded, err := deletion.Guard(ctx, r.Client, ca, ca.Spec.DeletionPolicy, deletion.Authority(r.Authorities, r.Now, name))
	if err != nil || guarded.Gone {
		return ctrl.Result{}, err
	}
	if len(guarded.Held) > 0 {
		// Nothing new is begun; no key is destroyed, and CRLs go on from the ledger.
		return step.Run(ctx, r.Client, ca, certificateauthority.StatusInterval, guarded.Held...)
	}
	s := &certificateauthority.Steps{Client: r.Client, Authorities: r.Authorities, Now: r.Now,
		Authority: name, Namespace: ca.Namespace, Common: &ca.Spec.CACommon, Status: &ca.Status.CAStatus, TrustList: ca.Spec.TrustList}
	steps := []step.Step{
		{Condition: pkiv1.ConditionKeyReady, Do: s.EnsureKey},
		{Condition: pkiv1.ConditionCertificateReady, Do: func(context.Context) error { return importCertificate(s, ca) }},
		{Condition: pkiv1.ConditionSpecAccepted, Do: func(ctx context.Context) error { return s.Accept(ctx, true) }},
	}
	if ca.Spec.TrustList != nil {
		steps = append(steps, step.Step{Condition: pkiv1.ConditionTrustListPublished, Advisory: true,
			Do: func(context.Context) error { return showTrustList(r.TrustLists, s.Key(), &ca.Status) }})
	} else {
		meta.RemoveStatusCondition(&ca.Status.Conditions, pkiv1.ConditionTrustListPublished)
		ca.Status.TrustList = nil
	}
	return step.Run(ctx, r.Client, ca, certificateauthority.StatusInterval, steps...)
}

func importCertificate(s *certificateauthority.Steps, ca *pkiv1.IndustryCA) error {
	if len(ca.Spec.RootCertificate) == 0 || len(ca.Spec.Certificate) == 0 {
		return step.Waiting(pkiv1.ReasonAwaitingCertificate,
			"have the national root certify status.certificateSigningRequest, then set spec.rootCertificate and spec.certificate")
	}
	root, err := pki.ParseCertificatePEM(ca.Spec.RootCertificate)
	if err != nil {
		return step.Stalled(pkiv1.ReasonRootInvalid, "spec.rootCertificate: %v", err)
	}
	cert, err := certificateauthority.ParseField("spec.certificate", ca.Spec.Certificate)
	if err != nil {
		return err
	}
	chain := []*smx509.Certificate{root}
	if err := s.CheckCertificate(cert, chain); err != nil {
		return err
	}
	s.Show(cert, chain)
	return nil
}
