package ocsp

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/emmansun/gmsm/sm2"
)

// errBadSignature: what does not verify never leaves, also since it could give
// the key away.
var errBadSignature = errors.New("the signature does not verify under the responder's key; the device may be faulty")

// unverifiedSigner leaves the check of its signatures to its caller; device.Signer does.
type unverifiedSigner interface {
	SignUnverified(message []byte) ([]byte, error)
}

// sign has the device sign, and verifies the signature once.
func (a *Authority) sign(tbs []byte) ([]byte, error) {
	ask, tries := func() ([]byte, error) { return a.signer.SignMessage(rand.Reader, tbs, sm2.DefaultSM2SignerOpts) }, 1
	if u, ok := a.signer.(unverifiedSigner); ok {
		// A device that erred once (a bit flip, a wrong session) gets one more
		// chance, as its own check would give it.
		ask, tries = func() ([]byte, error) { return u.SignUnverified(tbs) }, 2
	}
	for range tries {
		signature, err := ask()
		if err != nil || a.verifier.Verify(tbs, signature) {
			return signature, err
		}
	}
	return nil, errBadSignature
}

func (r *Responder) sign(a *Authority, req *Request, statuses []Status, asOf time.Time) ([]byte, Meta) {
	now := r.now()
	if asOf.After(now) { // the clock was set back
		asOf = now
	}
	producedAt, thisUpdate := now.UTC().Truncate(time.Second), asOf.UTC().Truncate(time.Second)
	nextUpdate := thisUpdate.Add(r.validity)
	if !now.Before(nextUpdate) {
		return fail(TryLater, fmt.Errorf("sign OCSP response: the statuses are those of %s, and a response is valid for %s: what is known must be brought up to date",
			thisUpdate.Format(time.RFC3339), r.validity))
	}
	if end := a.certificate.NotAfter.UTC(); end.Before(nextUpdate) {
		nextUpdate = end
	}
	if now.Before(a.certificate.NotBefore) || !producedAt.Before(nextUpdate) {
		return fail(TryLater, fmt.Errorf("sign OCSP response: responder certificate of %s is valid from %s to %s, not now", a.key.Authority,
			a.certificate.NotBefore.UTC().Format(time.RFC3339), a.certificate.NotAfter.UTC().Format(time.RFC3339)))
	}
	data := responseData{keyID: a.keyID, producedAt: producedAt, nonce: req.Nonce, responses: make([]SingleResponse, len(statuses))}
	meta := Meta{Status: Successful, States: make([]State, len(statuses)), ThisUpdate: thisUpdate, NextUpdate: nextUpdate,
		RefreshAt: producedAt.Add(nextUpdate.Sub(producedAt) / 2)}
	for i, s := range statuses {
		data.responses[i] = SingleResponse{CertID: req.CertIDs[i], Status: s, ThisUpdate: thisUpdate, NextUpdate: nextUpdate}
		meta.States[i] = s.State
	}
	tbs, err := data.marshal()
	if err != nil {
		return fail(InternalError, fmt.Errorf("encode OCSP response: %w", err))
	}
	signature, err := a.sign(tbs)
	switch {
	case errors.Is(err, errBadSignature):
		return fail(InternalError, fmt.Errorf("sign OCSP response: %w", err))
	case err != nil:
		return fail(TryLater, fmt.Errorf("sign OCSP response: %w", err))
	}
	r.shared.signed.Add(1)
	response, err := assemble(tbs, signature, a.certificate.Raw)
	if err != nil {
		return fail(InternalError, fmt.Errorf("encode OCSP response: %w", err))
	}
	return response, meta
}
