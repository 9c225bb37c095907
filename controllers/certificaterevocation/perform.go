package certificaterevocation

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// perform asks the CA. If we die after it did the act, the next call returns
// what its ledger recorded.
func (w *work) perform(ctx context.Context) error {
	act, err := w.act(ctx)
	if err != nil {
		return err
	}
	w.rev.Status.RequestDigest = hex.EncodeToString(act.Identity.Digest[:])
	done, err := w.Issuer.Perform(ctx, act)
	if err != nil {
		return w.performError(err)
	}
	w.done = done
	st := &w.rev.Status
	st.SerialNumber, st.Issuer, st.PerformedAt = string(done.Serial), done.Issuer.Authority, &metav1.Time{Time: done.RecordedAt}
	switch {
	case done.Refusal != "":
		return step.Stalled(pkiv1.ReasonRefused, "%s; the refusal is recorded and this act is never tried again: %s", refusals[done.Refusal], cure(done.Refusal))
	case done.Adopted:
		return &step.Succeeded{Reason: pkiv1.ReasonAdopted, Message: "the ledger recorded the act before"}
	}
	return nil
}

var refusals = map[authority.Refusal]string{
	authority.RefusedNotIssued: "NotIssued: no valid certificate stands under the serial number",
	authority.RefusedRevoked:   "AlreadyRevoked: the certificate was revoked before, which is for ever",
	authority.RefusedHeld:      "AlreadyOnHold: the certificate is on hold already",
	authority.RefusedNotHeld:   "NotOnHold: the certificate is not on hold, so there is nothing to release",
}

func cure(r authority.Refusal) string {
	if r == authority.RefusedNotHeld || r == authority.RefusedHeld {
		return "if the certificate's state has changed since, create another CertificateRevocation"
	}
	return "delete this object"
}

// act reads the object, and the CA from its RA.
func (w *work) act(ctx context.Context) (registration.Act, error) {
	rev := w.rev
	if rev.Spec.Requester == nil {
		return registration.Act{}, step.Stalled(pkiv1.ReasonInvalidSpec,
			"spec.requester: is missing; admission writes it: delete this object and create it again while the webhooks work")
	}
	act := registration.Act{Requester: rev.Spec.Requester.Username, Verb: authority.Verb(rev.Spec.Action), Reason: reasons[rev.Spec.Reason],
		Identity: authority.Identity{Kind: policy.KindCertificateRevocation, Namespace: rev.Namespace, Name: rev.Name, Digest: policy.ActDigest(rev)}}
	target := rev.Spec.Target
	if ref := target.CertificateAuthorityRef; ref != nil {
		act.CertificateAuthority = policy.KindBusinessCA + "/" + rev.Namespace + "/" + ref.Name
		return act, nil
	}
	if ref := target.TrustListSignerRef; ref != nil {
		act.TrustListSigner = "IndustryCA/" + rev.Namespace + "/" + ref.Name
		return act, nil
	}
	if target.RequestRef != nil {
		act.Request = target.RequestRef.Name
	} else {
		serial, err := pki.ParseSerial(target.SerialNumber)
		if err != nil {
			return registration.Act{}, step.Stalled(pkiv1.ReasonInvalidSpec, "spec.target.serialNumber: %v", err)
		}
		act.Serial = serial
	}
	key := policy.AuthorityKey(*rev.Spec.RegistrationAuthorityRef, rev.Namespace)
	var ra pkiv1.RegistrationAuthority
	if err := w.Client.Get(ctx, key, &ra); err != nil {
		if apierrors.IsNotFound(err) {
			return registration.Act{}, step.Waiting(pkiv1.ReasonReferenceNotFound, "RegistrationAuthority %q is not there", key)
		}
		return registration.Act{}, fmt.Errorf("read RegistrationAuthority %q: %w", key, err)
	}
	act.RegistrationAuthority, act.Authority = key.String(), policy.Issuer(&ra)
	return act, nil
}

// reasons as the API writes them.
var reasons = map[pkiv1.RevocationReason]pki.Reason{
	"Unspecified": pki.ReasonUnspecified, "KeyCompromise": pki.ReasonKeyCompromise, "CACompromise": pki.ReasonCACompromise,
	"AffiliationChanged": pki.ReasonAffiliationChanged, "Superseded": pki.ReasonSuperseded,
	"CessationOfOperation": pki.ReasonCessationOfOperation, "PrivilegeWithdrawn": pki.ReasonPrivilegeWithdrawn,
}

// ReasonOf is what a reason of the API means in a list.
func ReasonOf(r pkiv1.RevocationReason) pki.Reason { return reasons[r] }

// patience is how often an act is looked at again that only a change of
// something else can help.
const patience = time.Minute

func (w *work) performError(err error) error {
	switch {
	case errors.Is(err, authority.ErrActConflict):
		return step.Stalled(pkiv1.ReasonIdentityConflict, "metadata.name: %v", err)
	case errors.Is(err, authority.ErrNotFound) && w.rev.Spec.Target.SerialNumber != "":
		return &step.NotReady{Reason: pkiv1.ReasonReferenceNotFound, Stalled: true, RequeueAfter: patience,
			Message: "spec.target.serialNumber: the RA's CA issued no certificate with this number to a request; compare it with the certificate"}
	case errors.Is(err, authority.ErrNotFound):
		return step.Waiting(pkiv1.ReasonReferenceNotFound, "spec.target: the CA has issued no certificate for it: %v", err)
	}
	return issuerError(err)
}

func (w *work) publish(ctx context.Context) error {
	if w.rev.Spec.Publish != pkiv1.PublishImmediate {
		return &step.Succeeded{Reason: pkiv1.ReasonScheduled, Message: "OCSP answers already; the next list shows it"}
	}
	number, err := w.Issuer.Publish(ctx, w.done.Issuer, w.done.Serial)
	if err != nil {
		return issuerError(err)
	}
	w.rev.Status.CRLNumber = number
	return nil
}

func issuerError(err error) error {
	switch {
	case errors.Is(err, registration.ErrNotEntitled):
		return &step.NotReady{Reason: pkiv1.ReasonNotEntitled, Message: err.Error(), Stalled: true, RequeueAfter: patience}
	case errors.Is(err, registration.ErrInvalidOrder):
		return step.Stalled(pkiv1.ReasonInvalidSpec, "%v", err)
	case errors.Is(err, authority.ErrRestored):
		return step.Waiting(pkiv1.ReasonLedgerRestored, "%v", err)
	case errors.Is(err, authority.ErrUnknownCA):
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "%v", err)
	case errors.Is(err, device.ErrUnavailable):
		return step.Failed(pkiv1.ReasonDeviceUnavailable, err)
	case errors.Is(err, registration.ErrIssuerUnavailable):
		return step.Failed(pkiv1.ReasonIssuerUnavailable, err)
	}
	return step.Failed(pkiv1.ReasonStoreUnavailable, err)
}
