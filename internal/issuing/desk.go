// Package issuing is the CA as registration authorities meet it: the desk beside
// the keys, and the link between the two.
package issuing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/crl"
	"github.com/terrace-pki/terrace/internal/issuance"
	"github.com/terrace-pki/terrace/internal/pki"
	"github.com/terrace-pki/terrace/internal/registration"
)

// Kinds whose identities the desk takes. Those of the CA itself, such as OCSP
// responders and subordinate CAs, are not among them.
const (
	kindRequest    = "CertificateRequest"
	kindRevocation = "CertificateRevocation"
	kindBusinessCA = "BusinessCA"
)

// Desk takes orders and acts for the authorities of this process.
type Desk struct {
	authorities *authority.Service
	pipeline    *authority.Pipeline
}

var _ registration.Issuer = (*Desk)(nil)

// NewDesk returns the desk of the authorities of a process. Orders of all
// callers go through one pipeline.
func NewDesk(authorities *authority.Service) *Desk {
	return &Desk{authorities, authority.NewPipeline(authorities, authority.PipelineConfig{})}
}

// Drain waits until what was taken is issued, and takes nothing more.
func (d *Desk) Drain(ctx context.Context) error { return d.pipeline.Drain(ctx) }

// Find returns what the ledger holds under kind, namespace and name.
func (d *Desk) Find(ctx context.Context, kind, namespace, name string) (registration.Known, error) {
	r, err := d.authorities.Find(ctx, authority.Identity{Kind: kind, Namespace: namespace, Name: name})
	if err != nil {
		return registration.Known{}, err
	}
	if r.State != authority.StateIssued {
		return registration.Known{}, fmt.Errorf("%s %s/%s has no certificate yet: %w", kind, namespace, name, authority.ErrNotFound)
	}
	issued, err := d.issued(r)
	return registration.Known{Digest: r.Identity.Digest, Issued: issued}, err
}

// issued adds the chain to a record.
func (d *Desk) issued(r authority.Record) (registration.Issued, error) {
	if len(r.Certificate) == 0 {
		return registration.Issued{}, fmt.Errorf("serial %s: %w", r.Serial, authority.ErrArchived)
	}
	ca, err := d.authorities.CA(r.Issuer)
	if err != nil {
		return registration.Issued{}, err
	}
	return registration.Issued{Issuer: r.Issuer, Serial: r.Serial, Certificate: r.Certificate, Chain: append([][]byte{ca.Certificate}, ca.Chain...)}, nil
}

// Issue has the newest key generation of a CA issue.
func (d *Desk) Issue(ctx context.Context, name string, orders []registration.Order) ([]registration.Issued, error) {
	if len(orders) == 0 || len(orders) > authority.MaxSlice {
		return nil, fmt.Errorf("issue: %d orders: want 1 to %d", len(orders), authority.MaxSlice)
	}
	ca, err := d.authorities.Newest(name)
	if err != nil {
		return nil, err
	}
	out := make([]registration.Issued, len(orders))
	var taken []authority.Order
	var at []int // index of each taken order
	for i, o := range orders {
		order, err := read(o)
		if err != nil {
			out[i].Err = fmt.Errorf("%w: %w", registration.ErrInvalidOrder, err)
			continue
		}
		taken, at = append(taken, order), append(at, i)
	}
	if len(taken) == 0 {
		return out, nil
	}
	outcomes, err := d.pipeline.Issue(ctx, ca.Key, taken)
	if err != nil {
		return nil, err
	}
	for j, o := range outcomes {
		i := at[j]
		var lint *issuance.LintError
		switch {
		case errors.As(o.Err, &lint):
			out[i].Err = fmt.Errorf("%w: %w", registration.ErrLint, o.Err)
			continue
		case o.Err != nil:
			out[i].Err = o.Err
			continue
		}
		if out[i], err = d.issued(o.Record); err != nil {
			return nil, err
		}
		out[i].Adopted = o.Adopted
	}
	return out, nil
}

// read makes an order of what the request itself says, and proves possession:
// the desk does not believe the RA about the key.
func read(o registration.Order) (authority.Order, error) {
	if o.Identity.Kind != kindRequest {
		return authority.Order{}, fmt.Errorf("kind %.63q: want %s", o.Identity.Kind, kindRequest)
	}
	if err := o.Profile.Validate(); err != nil {
		return authority.Order{}, fmt.Errorf("profile: %w", err)
	}
	if o.Profile.CA != nil {
		return authority.Order{}, errors.New("the profile makes a CA, which no request can")
	}
	req, err := pki.ParseRequestDER(o.Request)
	if err != nil {
		return authority.Order{}, fmt.Errorf("request: %w", err)
	}
	if err := req.VerifyPossession(); err != nil {
		return authority.Order{}, fmt.Errorf("request: %w", err)
	}
	public, err := req.SM2PublicKey()
	if err != nil {
		return authority.Order{}, fmt.Errorf("request: %w", err)
	}
	subject, err := o.Profile.SubjectFor(req.Subject)
	if err != nil {
		return authority.Order{}, fmt.Errorf("%w", err)
	}
	return authority.Order{Identity: o.Identity, Profile: o.Profile, Subject: subject, PublicKey: public,
		SubjectAltNames: req.SubjectAltNames, IdentityValues: o.IdentityValues}, nil
}

// Perform finds the certificate and carries the act out, once ever.
func (d *Desk) Perform(ctx context.Context, act registration.Act) (authority.Performed, error) {
	if act.Identity.Kind != kindRevocation {
		return authority.Performed{}, fmt.Errorf("act of kind %.63q: want %s", act.Identity.Kind, kindRevocation)
	}
	known, err := d.authorities.FindAct(ctx, act.Identity.Kind, act.Identity.Namespace, act.Identity.Name)
	switch {
	case err == nil && known.Identity.Digest != act.Identity.Digest:
		return authority.Performed{}, authority.ErrActConflict
	case err == nil:
		known.Adopted = true
		return known, nil
	case !errors.Is(err, authority.ErrNotFound):
		return authority.Performed{}, err
	case d.authorities.Restored(): // it may have forgotten the act, and the certificate
		return authority.Performed{}, authority.ErrRestored
	}
	record, err := d.target(ctx, act)
	if err != nil {
		return authority.Performed{}, err
	}
	return d.authorities.Perform(ctx, authority.Act{Identity: act.Identity, Issuer: record.Issuer, Serial: record.Serial,
		Verb: act.Verb, Reason: act.Reason, At: d.authorities.Now(), Operator: act.Requester})
}

// target is the certificate that an act names.
func (d *Desk) target(ctx context.Context, act registration.Act) (authority.Record, error) {
	switch {
	case act.CertificateAuthority != "":
		kind, namespace, name, err := split(act.CertificateAuthority)
		if err != nil {
			return authority.Record{}, err
		}
		return d.find(ctx, kind, namespace, name)
	case act.TrustListSigner != "":
		return d.trustListSigner(ctx, act.TrustListSigner)
	case act.Request != "":
		r, err := d.find(ctx, kindRequest, act.Identity.Namespace, act.Request)
		if err == nil && r.Issuer.Authority != act.Authority {
			err = fmt.Errorf("request %s/%s: another CA issued it: %w", act.Identity.Namespace, act.Request, authority.ErrNotFound)
		}
		return r, err
	}
	found, err := d.authorities.FindSerial(ctx, act.Serial)
	if err != nil {
		return authority.Record{}, err
	}
	for _, r := range found {
		// Only what was issued for a request, or may have been: neither a CA's nor a responder's.
		if r.Issuer.Authority == act.Authority && (r.Identity.Kind == kindRequest || r.Identity.Kind == authority.KindRecovered && !d.isCA(r)) {
			return r, nil
		}
	}
	return authority.Record{}, fmt.Errorf("%s issued no certificate with serial number %s to a request: %w", act.Authority, act.Serial, authority.ErrNotFound)
}

// isCA says whether a recovered certificate is a CA's.
func (d *Desk) isCA(r authority.Record) bool {
	if cert, err := pki.ParseCertificate(r.Certificate); err == nil {
		return cert.IsCA
	}
	for _, ca := range d.authorities.All() { // its content is not known
		if pki.SerialFromInt(ca.Cert.SerialNumber) == r.Serial {
			return true
		}
	}
	return false
}

func (d *Desk) find(ctx context.Context, kind, namespace, name string) (authority.Record, error) {
	r, err := d.authorities.Find(ctx, authority.Identity{Kind: kind, Namespace: namespace, Name: name})
	if err == nil && r.State != authority.StateIssued {
		err = fmt.Errorf("%s %s/%s has no certificate: %w", kind, namespace, name, authority.ErrNotFound)
	}
	return r, err
}

// Publish signs the list that a serial stands on, unless the current one says
// what the ledger says of it: asking again must not sign again. The list itself
// is looked at, for neither its number nor its time tells what was read into it.
func (d *Desk) Publish(ctx context.Context, issuer authority.IssuerKey, serial pki.Serial) (int64, error) {
	r, err := d.authorities.Status(ctx, issuer, serial)
	if err != nil {
		return 0, err
	}
	current, err := d.authorities.CurrentCRL(ctx, issuer, r.Shard)
	if err != nil && !errors.Is(err, authority.ErrNotFound) {
		return 0, err
	}
	if err == nil {
		number, entry, found, err := d.shown(ctx, current, serial)
		if err != nil {
			return 0, err
		}
		if says(entry, found, r.Revocation) {
			return number, nil
		}
	}
	next, err := d.authorities.Publish(ctx, issuer, r.Shard)
	return next.Number, err
}

// shown is what the current list and the delta that follows it have of a serial,
// and the number of the newer of the two.
func (d *Desk) shown(ctx context.Context, full authority.CRL, serial pki.Serial) (number int64, entry crl.Entry, found bool, err error) {
	delta, err := d.authorities.CurrentDelta(ctx, full.Issuer, full.Shard)
	if err != nil && !errors.Is(err, authority.ErrNotFound) {
		return 0, entry, false, err
	}
	number = full.Number
	if err == nil && delta.Number > full.Number && delta.Base <= full.Number { // RFC 5280 §5.2.4: it applies to the list
		number = delta.Number
		if entry, found, err = crl.Find(delta.DER, serial); err != nil || found {
			return number, entry, found && entry.Reason != pki.ReasonRemoveFromCRL, err
		}
	}
	entry, found, err = crl.Find(full.DER, serial)
	return number, entry, found, err
}

// says compares what a list has of a serial with the ledger. Lists have whole seconds.
func says(entry crl.Entry, found bool, r *authority.Revocation) bool {
	if r == nil || !found {
		return found == (r != nil)
	}
	return entry.Reason == r.Reason && entry.At.Equal(r.At.Truncate(time.Second))
}

// Ready says whether a CA is accepted and neither paused nor revoked.
func (d *Desk) Ready(ctx context.Context, name string) error {
	ca, err := d.authorities.Newest(name)
	if err != nil {
		return err
	}
	if ca.Paused {
		return fmt.Errorf("CA %s: %w", name, authority.ErrPaused)
	}
	if d.authorities.Restored() {
		return fmt.Errorf("CA %s: %w", name, authority.ErrRestored)
	}
	return d.authorities.CheckCA(ctx, ca)
}
