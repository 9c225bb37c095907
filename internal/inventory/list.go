package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/lint"
	"github.com/terrace-pki/terrace/internal/pki"
)

// settle is how long an act may take from its time to its commit. What was
// revoked so shortly before a list need not be on it.
const settle = time.Minute

// shard holds the current list of a shard against what is revoked.
func (w *walk) shard(ctx context.Context, ca *ca, shard int32) error {
	subject := fmt.Sprintf("%s shard %d", ca.name, shard)
	list, err := w.Ledger.CurrentCRL(ctx, ca.Key, shard)
	if notFound(err) {
		w.add(subject, lint.Finding{Check: FindingNoCRL, Detail: "there is no list"})
	} else if err != nil {
		return err
	}
	listed, err := w.list(subject, ca, list)
	if err != nil {
		return err
	}
	serials, err := w.compare(ctx, ca, shard, subject, list, listed)
	if err != nil {
		return err
	}
	if err := w.extra(ctx, ca, shard, subject, listed); err != nil {
		return err
	}
	return w.revoked(ctx, ca, serials)
}

// list lints a list and reads its entries.
func (w *walk) list(subject string, ca *ca, list authority.CRL) (map[pki.Serial]lint.CRLEntry, error) {
	listed := map[pki.Serial]lint.CRLEntry{}
	if list.DER == nil {
		return listed, nil
	}
	w.report.CRLs++
	kind := lint.KindCRL
	if ca.OnlyCACertificates {
		kind = lint.KindARL
	}
	for _, f := range lint.ExamineCRL(list.DER, lint.Context{Issuer: ca.cert}, kind) {
		w.add(subject, f)
	}
	if w.Now().After(list.NextUpdate) {
		w.add(subject, lint.Finding{Check: FindingOverdue, Detail: "the next list was due at " + list.NextUpdate.UTC().Format(time.RFC3339)})
	}
	number, err := lint.CRLEntries(list.DER, func(e lint.CRLEntry) error {
		if len(listed) == maxRevoked {
			return fmt.Errorf("has more than %d entries", maxRevoked)
		}
		listed[e.Serial] = e
		return nil
	})
	if err != nil {
		w.add(subject, lint.Finding{Check: FindingCRLRecord, Detail: err.Error()})
	} else if number != list.Number {
		w.add(subject, lint.Finding{Check: FindingCRLRecord, Detail: fmt.Sprintf("the list has number %d, its record %d", number, list.Number)})
	}
	w.report.Entries += int64(len(listed))
	return listed, nil
}

// compare goes through what is revoked, takes it out of listed, and returns the serials.
func (w *walk) compare(ctx context.Context, ca *ca, shard int32, subject string, list authority.CRL, listed map[pki.Serial]lint.CRLEntry) ([]pki.Serial, error) {
	var serials []pki.Serial
	err := w.Ledger.Revoked(ctx, ca.Key, shard, time.Time{}, func(r authority.Record) error {
		if len(serials) == maxRevoked {
			return fmt.Errorf("more than %d serials of one shard are revoked; raise the number of shards", maxRevoked)
		}
		serials = append(serials, r.Serial)
		e, on := listed[r.Serial]
		delete(listed, r.Serial)
		at, later := r.Revocation.At.Truncate(time.Second), r.Revocation.At.After(list.ThisUpdate.Add(-settle))
		switch {
		case list.DER == nil, later: // the next list will say so
		case !on && r.NotAfter.After(list.ThisUpdate):
			w.add(subject, lint.Finding{Check: FindingCRLMissing, Detail: fmt.Sprintf("serial %s was revoked at %s and is not on the list", r.Serial, at.UTC().Format(time.RFC3339))})
		case on && (!e.At.Equal(at) || e.Reason != r.Revocation.Reason):
			w.add(subject, lint.Finding{Check: FindingCRLDiffers, Detail: fmt.Sprintf("serial %s: the list says %s at %s, the ledger %s at %s", r.Serial,
				e.Reason, e.At.Format(time.RFC3339), r.Revocation.Reason, at.UTC().Format(time.RFC3339))})
		}
		return nil
	})
	return serials, err
}

// extra looks at what is on the list and not revoked: a hold that was released
// after it stays until the next list; a serial of no record or of another shard
// has no business there.
func (w *walk) extra(ctx context.Context, ca *ca, shard int32, subject string, listed map[pki.Serial]lint.CRLEntry) error {
	for serial, e := range listed {
		r, err := w.Ledger.Status(ctx, ca.Key, serial)
		switch {
		case notFound(err):
			w.add(subject, lint.Finding{Check: FindingCRLExtra, Detail: fmt.Sprintf("serial %s is on the list and in no record", serial)})
		case err != nil:
			return err
		case r.Shard != shard:
			w.add(subject, lint.Finding{Check: FindingCRLExtra, Detail: fmt.Sprintf("serial %s is on the list and of shard %d", serial, r.Shard)})
		case r.Revocation == nil && e.Reason != pki.ReasonCertificateHold:
			w.add(subject, lint.Finding{Check: FindingCRLExtra, Detail: fmt.Sprintf("serial %s is on the list as %s and not revoked", serial, e.Reason)})
		}
	}
	return nil
}
