package certificaterequest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/registration"
)

// lookAgain is how often a request that waits for people is looked at besides
// the watch: an Approval may be gone before its taking in was seen.
const lookAgain = time.Minute

// approve opens the application in the RA's store, and counts the decisions
// that the store has taken in. The objects by which they were given count for
// nothing: they may be deleted, and come back.
func (w *work) approve(ctx context.Context) error {
	if w.issued != nil {
		w.recount(ctx)
		return adopted()
	}
	applicant := w.req.Spec.Applicant
	if applicant == nil && w.required == 0 {
		return notRequired()
	}
	if applicant == nil {
		return step.Stalled(pkiv1.ReasonInvalidSpec,
			"spec.applicant: is missing, so nobody can be told apart from the applicant; admission writes it: delete the request and create it again while the webhooks work")
	}
	opened, err := w.open(ctx, applicant.Username)
	if err != nil {
		return err
	}
	decisions, err := w.Store.Approvals(ctx, w.target)
	if err != nil {
		return step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	tally := registration.Count(opened.Applicant, decisions)
	required := registration.Required(w.required, opened.Applicant)
	w.req.Status.Approvals = ""
	if required > 0 {
		w.req.Status.Approvals = fmt.Sprintf("%d/%d", tally.Given, required)
	}
	switch {
	case tally.Denied:
		return step.Stalled(pkiv1.ReasonDenied, "a reviewer denied the request; ask again under another name")
	case !opened.SameIdentity(w.app.Identity):
		return step.Stalled(pkiv1.ReasonDenied,
			"identity values are not those that were there when the request was opened: ask again under another name")
	case required == 0:
		return notRequired()
	case tally.Given < required:
		return w.awaiting(tally.Given, required)
	}
	return nil
}

// awaiting says who can give what is missing, and why it is more than the RA says.
func (w *work) awaiting(given, required int) error {
	why := ""
	if required > w.required {
		why = " (two at least, for a service account asked)"
	}
	return &step.NotReady{Reason: pkiv1.ReasonAwaitingApproval, RequeueAfter: lookAgain, Message: fmt.Sprintf(
		"%d of %d approvals given%s; people who may `approve` on registrationauthorities %s in namespace %s can give it (kubectl terrace approve %s -n %s)",
		given, required, why, w.ra.Name, w.ra.Namespace, w.req.Name, w.req.Namespace)}
}

// recount keeps the count of an object that people decided about before we died
// with its certificate issued and not shown. One that was created since never
// had a count, and a certificate that is there does not hang on the RA's store.
func (w *work) recount(ctx context.Context) {
	_, required, shown := strings.Cut(w.req.Status.Approvals, "/")
	if !shown {
		return
	}
	if decisions, err := w.Store.Approvals(ctx, w.target); err == nil && len(decisions) > 0 {
		// The store has taken in none of the applicant.
		w.req.Status.Approvals = fmt.Sprintf("%d/%s", registration.Count("", decisions).Given, required)
	}
}

func notRequired() error {
	return &step.Succeeded{Reason: pkiv1.ReasonNotRequired, Message: "the RA's approvalPolicy is None"}
}

// open records the application the first time: who asked first stays the
// applicant, whoever creates the object again, and the identity values that were
// there are those of the certificate.
func (w *work) open(ctx context.Context, applicant string) (registration.Opened, error) {
	now := registration.Opened{Target: w.target, Applicant: applicant, At: time.Now()}
	now.IdentitySalt, now.IdentitySum = registration.SumIdentity(w.app.Identity)
	opened, err := w.Store.Open(ctx, now)
	switch {
	case errors.Is(err, registration.ErrTargetConflict):
		return registration.Opened{}, step.Stalled(pkiv1.ReasonIdentityConflict, "%v; a new request needs a new name", err)
	case err != nil:
		return registration.Opened{}, step.Failed(pkiv1.ReasonStoreUnavailable, err)
	}
	return opened, nil
}
