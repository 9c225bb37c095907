package replica

import (
	"fmt"

	"github.com/terrace-pki/terrace/internal/authority"
)

// shard names a list.
type shard struct {
	issuer authority.IssuerKey
	number int32
	delta  bool
}

// batches turns what the feed answered after a number into pushes that follow
// each other. Changes of serials stay together; each list goes alone. accepted
// says that an accepted spec changed. skipped is why lists were left out.
func batches(changes []authority.Change, after, next int64) (pushes []Push, accepted bool, skipped map[shard]error) {
	skipped = map[shard]error{}
	current := Push{After: after, Next: after}
	flush := func() {
		if len(current.Changes) > 0 {
			pushes = append(pushes, current)
			current = Push{After: current.Next, Next: current.Next}
		}
	}
	for _, c := range changes {
		switch {
		case c.Kind == authority.ChangeSerial && c.Record != nil:
			if len(current.Changes) == MaxChanges {
				flush()
			}
			current.Changes = append(current.Changes, Change{Seq: c.Seq, Status: statusOf(*c.Record)})
		case (c.Kind == authority.ChangeCRL || c.Kind == authority.ChangeDelta) && c.CRL != nil:
			if len(c.CRL.DER) > MaxCRL {
				// The statuses behind it matter more: OCSP answers from them.
				skipped[shard{c.CRL.Issuer, c.CRL.Shard, c.CRL.IsDelta()}] = fmt.Errorf("CRL %s has %d bytes, at most %d are pushed: raise spec.crl.shards of its CA",
					c.CRL.Issuer.CRLFileName(c.CRL.Shard), len(c.CRL.DER), MaxCRL)
				break
			}
			flush()
			current.CRL, current.Next = c.CRL, c.Seq
			pushes = append(pushes, current)
			current = Push{After: c.Seq, Next: c.Seq}
		case c.Kind == authority.ChangeAccepted:
			accepted = true
		}
		current.Next = c.Seq
	}
	current.Next = next
	if current.Next > current.After {
		pushes = append(pushes, current)
	}
	return pushes, accepted, skipped
}

// statusOf keeps what a client of OCSP may learn. The ledger gives abandoned
// serials a revocation, since a signature under them may exist.
func statusOf(r authority.Record) Status {
	s := Status{Issuer: r.Issuer, Serial: r.Serial, NotAfter: r.NotAfter.UTC()}
	if r.Revocation != nil {
		s.Revocation = &authority.Revocation{At: r.Revocation.At.UTC(), Reason: r.Revocation.Reason}
	}
	return s
}
