// Package certificaterequest reconciles CertificateRequest (证书申请): the RA's
// policy, then the issuance cycle.
package certificaterequest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// kind in the ledger's identities.
const kind = "CertificateRequest"

// concurrency of the controller: requests of one CA share the device.
const concurrency = 4

// Reconciler reconciles CertificateRequest.
type Reconciler struct {
	Client      client.Client
	Authorities *authority.Service
}

// SetupWithManager registers the controller. Requests that wait are looked at
// again when their RA changes.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).For(&pkiv1.CertificateRequest{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Named("certificaterequest").
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency}).
		Watches(&pkiv1.RegistrationAuthority{}, step.EnqueueNeighbours(r.Client, &pkiv1.CertificateRequestList{}, waitsFor)).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

func waitsFor(item, changed client.Object) bool {
	req := item.(*pkiv1.CertificateRequest)
	ref := raKey(req)
	return !step.IsReady(req) && ref.Name == changed.GetName() && ref.Namespace == changed.GetNamespace()
}

func raKey(req *pkiv1.CertificateRequest) client.ObjectKey {
	ref := req.Spec.RegistrationAuthorityRef
	if ref.Namespace == "" {
		ref.Namespace = req.Namespace
	}
	return client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
}

// work is one request on its way through a reconcile.
type work struct {
	*Reconciler
	req     *pkiv1.CertificateRequest
	parsed  *pki.Request
	digest  [32]byte
	app     registration.Application
	issuer  string // authority that the RA names
	record  *authority.Record
	adopted bool
}

// Reconcile judges the request and has it issued. What was issued or denied stays so.
func (r *Reconciler) Reconcile(ctx context.Context, req *pkiv1.CertificateRequest) (ctrl.Result, error) {
	if !req.DeletionTimestamp.IsZero() || isFinal(req) {
		return ctrl.Result{}, nil
	}
	w := &work{Reconciler: r, req: req}
	return step.Run(ctx, r.Client, req, 0,
		step.Step{Condition: pkiv1.ConditionPolicyPassed, Do: w.judge},
		step.Step{Condition: pkiv1.ConditionIssued, Do: w.issue})
}

func isFinal(req *pkiv1.CertificateRequest) bool {
	denied := meta.FindStatusCondition(req.Status.Conditions, pkiv1.ConditionPolicyPassed)
	return step.IsReady(req) || denied != nil && denied.Reason == pkiv1.ReasonDenied
}

// judge parses the request and evaluates the RA's checks. A certificate that
// the ledger already has for this identity is adopted without judging again:
// the policy of today does not undo what was delivered.
func (w *work) judge(ctx context.Context) error {
	parsed, err := pki.ParseRequest(w.req.Spec.Request)
	if err != nil {
		// The parser's words may quote the subject, which is for the requester
		// alone; the webhook says them.
		return step.Stalled(pkiv1.ReasonDenied, "requestIsWellFormed: spec.request cannot be read as one PEM PKCS #10 request of at most 16 KiB")
	}
	w.parsed = parsed
	w.digest = registration.Digest(content(w.req, parsed.DER))
	w.req.Status.RequestDigest = hex.EncodeToString(w.digest[:])
	known, err := w.Authorities.Find(ctx, w.identity())
	switch {
	case err == nil && known.State == authority.StateIssued && known.Identity.Digest == w.digest:
		w.record, w.adopted = &known, true
		return &step.Succeeded{Reason: pkiv1.ReasonAdopted, Message: "the ledger has the certificate"}
	case err == nil && known.State == authority.StateIssued:
		return step.Stalled(pkiv1.ReasonIdentityConflict, "%v", authority.ErrConflict)
	case err != nil && !errors.Is(err, authority.ErrNotFound):
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	if err := w.gather(ctx); err != nil {
		return err
	}
	verdicts := registration.Evaluate(w.app)
	w.req.Status.Verdicts = nil
	for _, v := range verdicts {
		result := pkiv1.VerdictPassed
		if !v.Passed {
			result = pkiv1.VerdictDenied
		}
		w.req.Status.Verdicts = append(w.req.Status.Verdicts, pkiv1.PolicyVerdict{Check: v.Check, Result: result, Reason: v.Reason})
	}
	if denied := registration.Denied(verdicts); len(denied) > 0 {
		return step.Stalled(pkiv1.ReasonDenied, "%s: %s", denied[0].Check, denied[0].Reason)
	}
	return nil
}

func (w *work) identity() authority.Identity {
	return authority.Identity{Kind: kind, Namespace: w.req.Namespace, Name: w.req.Name, Digest: w.digest}
}

// issue takes the request through the cycle, or shows what was adopted.
func (w *work) issue(ctx context.Context) error {
	if w.record == nil {
		if err := w.order(ctx); err != nil {
			return issueError(err)
		}
	}
	if err := w.show(); err != nil {
		return err
	}
	if w.adopted {
		return &step.Succeeded{Reason: pkiv1.ReasonAdopted, Message: "the ledger has the certificate"}
	}
	return nil
}

func (w *work) order(ctx context.Context) error {
	ca, err := w.Authorities.Newest(w.issuer)
	if err != nil {
		return err
	}
	subject, err := w.app.Subject()
	if err != nil {
		return err
	}
	public, err := w.parsed.SM2PublicKey()
	if err != nil {
		return err
	}
	out, err := w.Authorities.Issue(ctx, ca.Key, []authority.Order{{Identity: w.identity(), Profile: w.app.Profile, Subject: subject,
		PublicKey: public, SubjectAltNames: w.parsed.SubjectAltNames, IdentityValues: w.app.Identity}})
	if err == nil {
		err = out[0].Err
	}
	if err != nil {
		return err
	}
	w.record, w.adopted = &out[0].Record, out[0].Adopted
	return nil
}

// show puts the certificate and its issuers into status.
func (w *work) show() error {
	st := &w.req.Status
	st.Certificate = pki.EncodePEM("CERTIFICATE", w.record.Certificate)
	st.SerialNumber = string(w.record.Serial)
	ca, err := w.Authorities.CA(w.record.Issuer)
	if err != nil {
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "%v", err)
	}
	st.Chain = pki.EncodePEM("CERTIFICATE", append([][]byte{ca.Certificate}, ca.Chain...)...)
	return nil
}

func issueError(err error) error {
	var lint *issuance.LintError
	switch {
	case errors.Is(err, authority.ErrConflict):
		return step.Stalled(pkiv1.ReasonIdentityConflict, "%v", err)
	case errors.As(err, &lint):
		// A corrected profile, or a renewed CA, can help: it is looked at again.
		return &step.NotReady{Reason: pkiv1.ReasonLintFailed, Message: err.Error(), Stalled: true, RequeueAfter: time.Minute}
	case errors.Is(err, authority.ErrPaused):
		return step.Waiting(pkiv1.ReasonIssuancePaused, "%v", err)
	case errors.Is(err, authority.ErrUnknownCA), errors.Is(err, authority.ErrBusy):
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "%v", err)
	case errors.Is(err, device.ErrUnavailable):
		return step.Failed(pkiv1.ReasonDeviceUnavailable, err)
	}
	return step.Failed(pkiv1.ReasonStoreUnavailable, err)
}

// notFound turns a missing reference into something to wait for.
func notFound(err error, kind, name string) error {
	if apierrors.IsNotFound(err) {
		return step.Waiting(pkiv1.ReasonReferenceNotFound, "%s %q is not there", kind, name)
	}
	return fmt.Errorf("read %s %q: %w", kind, name, err)
}
