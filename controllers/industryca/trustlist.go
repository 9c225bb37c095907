package industryca

import (
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
	"github.com/terrace-pki/terrace/controllers/step"
	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/trustsigner"
)

// showTrustList puts the current list into status. It makes none: the service
// does, also while the API server is away.
func showTrustList(lists *trustsigner.Service, key authority.IssuerKey, status *pkiv1.IndustryCAStatus) error {
	now, ok := lists.Status(key)
	status.TrustList = nil
	if now.Sequence > 0 {
		status.TrustList = &pkiv1.TrustListStatus{SequenceNumber: now.Sequence, ThisUpdate: metav1.NewTime(now.ThisUpdate),
			NextUpdate: metav1.NewTime(now.NextUpdate), Entries: int32(now.Entries)} //nolint:gosec // at most trustlist.MaxEntries
	}
	switch {
	case !ok:
		return step.Waiting(pkiv1.ReasonProgressing, "the first list is being made")
	case now.Err == nil:
		return nil
	}
	last := "there is none"
	if now.Sequence > 0 {
		last = "the last one is valid until " + now.NextUpdate.UTC().Format(time.RFC3339)
	}
	return step.Waiting(trustListReason(now.Err), "%v; %s", now.Err, last)
}

func trustListReason(err error) string {
	for _, r := range []struct {
		err    error
		reason string
	}{
		{authority.ErrPaused, pkiv1.ReasonIssuancePaused},
		{authority.ErrCARevoked, pkiv1.ReasonIssuerRevoked},
		{authority.ErrKeyMissing, pkiv1.ReasonKeyMissing},
		{authority.ErrKeyMismatch, pkiv1.ReasonKeyMissing},
		{device.ErrUnavailable, pkiv1.ReasonDeviceUnavailable},
	} {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return pkiv1.ReasonStoreUnavailable
}
