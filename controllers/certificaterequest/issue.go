package certificaterequest

import (
	"context"
	"errors"
	"fmt"
	"time"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// issue has the CA issue, or shows what was adopted.
func (w *work) issue(ctx context.Context) error {
	if w.issued == nil {
		if err := w.order(ctx); err != nil {
			return issueError(err)
		}
	}
	st := &w.req.Status
	st.Certificate = pki.EncodePEM("CERTIFICATE", w.issued.Certificate)
	st.Chain = pki.EncodePEM("CERTIFICATE", w.issued.Chain...)
	st.SerialNumber = string(w.issued.Serial)
	if w.issued.Adopted {
		return adopted()
	}
	return nil
}

func (w *work) order(ctx context.Context) error {
	issued, err := w.Issuer.Issue(ctx, w.issuer, []registration.Order{{
		Identity:              authority.Identity{Kind: w.target.Kind, Namespace: w.target.Namespace, Name: w.target.Name, Digest: w.target.Digest},
		RegistrationAuthority: w.ra.String(), Request: w.parsed.DER, Profile: w.app.Profile, IdentityValues: w.app.Identity}})
	if err != nil {
		return err
	}
	if len(issued) != 1 {
		return fmt.Errorf("the CA answered %d orders, want 1", len(issued))
	}
	w.issued = &issued[0]
	return w.issued.Err
}

// patience is how often a request is looked at again that only a change of
// something else can help: a profile, the CA's certificate, its limits or peers.
const patience = time.Minute

func issueError(err error) error {
	stalled := func(reason string) error {
		return &step.NotReady{Reason: reason, Message: err.Error(), Stalled: true, RequeueAfter: patience}
	}
	switch {
	case errors.Is(err, authority.ErrConflict):
		return step.Stalled(pkiv1.ReasonIdentityConflict, "%v", err)
	case errors.Is(err, authority.ErrArchived):
		return step.Stalled(pkiv1.ReasonArchived, "%v", err)
	case errors.Is(err, registration.ErrLint):
		return stalled(pkiv1.ReasonLintFailed)
	case errors.Is(err, registration.ErrOutsideLimits):
		return stalled(pkiv1.ReasonOutsideLimits)
	case errors.Is(err, registration.ErrNotEntitled):
		return stalled(pkiv1.ReasonNotEntitled)
	case errors.Is(err, registration.ErrInvalidOrder):
		return stalled(pkiv1.ReasonInvalidSpec)
	case errors.Is(err, authority.ErrRestored):
		return step.Waiting(pkiv1.ReasonLedgerRestored, "%v", err)
	case errors.Is(err, authority.ErrPaused):
		return step.Waiting(pkiv1.ReasonIssuancePaused, "%v", err)
	case errors.Is(err, authority.ErrCARevoked): // a hold may be released
		return stalled(pkiv1.ReasonIssuerRevoked)
	case errors.Is(err, authority.ErrUnknownCA), errors.Is(err, authority.ErrBusy):
		return step.Waiting(pkiv1.ReasonReferenceNotReady, "%v", err)
	case errors.Is(err, device.ErrUnavailable):
		return step.Failed(pkiv1.ReasonDeviceUnavailable, err)
	case errors.Is(err, registration.ErrIssuerUnavailable):
		return step.Failed(pkiv1.ReasonIssuerUnavailable, err)
	}
	return step.Failed(pkiv1.ReasonStoreUnavailable, err)
}
