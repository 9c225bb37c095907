package certificaterequest

import (
	"context"
	"encoding/hex"
	"errors"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/policy"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/registration"
)

// adopted is the success of each step of a request whose certificate is there already.
func adopted() error {
	return &step.Succeeded{Reason: pkiv1.ReasonAdopted, Message: "the ledger has the certificate"}
}

// judge parses the request and evaluates the RA's checks. A certificate that
// the ledger already has for this identity is adopted without judging again:
// the policy of today does not undo what was delivered.
func (w *work) judge(ctx context.Context) error {
	target, parsed, err := policy.RequestTarget(w.req)
	if err != nil {
		// The parser's words may quote the subject, which is for the requester
		// alone; the webhook says them.
		return step.Stalled(pkiv1.ReasonDenied, "requestIsWellFormed: spec.request cannot be read as one PEM PKCS #10 request of at most 16 KiB")
	}
	w.parsed, w.target = parsed, target
	w.req.Status.RequestDigest = hex.EncodeToString(target.Digest[:])
	known, err := w.Issuer.Find(ctx, target.Kind, target.Namespace, target.Name)
	switch {
	case err == nil && known.Digest == target.Digest:
		w.issued = &known.Issued
		w.issued.Adopted = true
		return adopted()
	case err == nil:
		return step.Stalled(pkiv1.ReasonIdentityConflict, "%v", authority.ErrConflict)
	case !errors.Is(err, authority.ErrNotFound):
		return issueError(err)
	}
	if err := w.gather(ctx); err != nil {
		return err
	}
	return w.evaluate()
}

// evaluate runs the RA's checks and shows their verdicts.
func (w *work) evaluate() error {
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
