package authority

import "time"

// lists are the kept lists of a shard of a CA, newest first, without their DER.
// Deciding what to make next asks nobody.
type lists struct {
	ca    *CA
	shard int32
	heads []CRL
}

func (c CRL) isFull() bool { return !c.IsDelta() }

// newest of those for which is holds, nil when there is none.
func (l lists) newest(is func(CRL) bool) *CRL {
	for i := range l.heads {
		if is(l.heads[i]) {
			return &l.heads[i]
		}
	}
	return nil
}

// after is the number of the newest list of all, 0 when there is none.
func (l lists) after() int64 {
	if len(l.heads) == 0 {
		return 0
	}
	return l.heads[0].Number
}

// point is the URL in the issuingDistributionPoint of the shard's lists.
func (l lists) point() string {
	if l.ca.MaxShards == 1 {
		return ""
	}
	return l.ca.CRLURL(l.shard)
}

// fullDue says that there is no full list or that the next is due. A list of
// another scope is no base for deltas, which must have the same (RFC 5280 §5.2.4).
func (l lists) fullDue(now time.Time) bool {
	full := l.newest(CRL.isFull)
	return full == nil || !now.Before(full.ThisUpdate.Add(l.ca.CRLInterval)) || l.ca.DeltaInterval > 0 && full.DistributionPoint != l.point()
}

// deltaDue says that the CA makes deltas and that the next is due. It is not in
// the second in which a full list was made: lists of one time have one number
// (RFC 5280 §5.2.3).
func (l lists) deltaDue(now time.Time) bool {
	if l.ca.DeltaInterval == 0 {
		return false
	}
	delta := l.newest(CRL.IsDelta)
	return (delta == nil || !now.Before(delta.ThisUpdate.Add(l.ca.DeltaInterval))) && l.thisUpdate(now, true).Equal(now.Truncate(time.Second))
}

// base is the full list whose changes a delta made now is to show, nil when the
// CA makes none or there is none: the older one of those kept that is still
// valid. Whoever holds a valid list can then use the delta.
func (l lists) base(now time.Time) *CRL {
	if l.ca.DeltaInterval == 0 {
		return nil
	}
	var base *CRL
	for i, c := range l.heads {
		if c.isFull() && now.Before(c.NextUpdate) && c.DistributionPoint == l.point() {
			base = &l.heads[i]
		}
	}
	return base
}

// thisUpdate of a list that is made now: a second later than now when the other
// kind has one of this second.
func (l lists) thisUpdate(now time.Time, delta bool) time.Time {
	t := now.Truncate(time.Second)
	other := l.newest(func(c CRL) bool { return c.IsDelta() != delta })
	if other != nil && other.ThisUpdate.Equal(t) {
		return t.Add(time.Second)
	}
	return t
}

// nextUpdate of a list. A delta is valid for two intervals, so that one that is
// late does no harm.
func (l lists) nextUpdate(thisUpdate time.Time, delta bool) time.Time {
	if delta {
		return thisUpdate.Add(2 * l.ca.DeltaInterval).Truncate(time.Second)
	}
	return thisUpdate.Add(l.ca.CRLInterval + l.ca.CRLOverlap).Truncate(time.Second)
}
