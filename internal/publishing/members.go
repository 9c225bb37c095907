package publishing

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/emmansun/gmsm/sm3"

	"github.com/terrace-pki/terrace/directory"
	"github.com/terrace-pki/terrace/internal/authority"
)

// fingerprint is the first 64 bits of SM3 in hex: part of a name, not a proof.
func fingerprint(s string) string {
	sum := sm3.Sum([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// takeMembers looks for CAs that came and went. One that came with a history
// has the feed read from its beginning; one that went has its entries removed by
// a comparison.
func (t *target) takeMembers(ctx context.Context) error {
	members, err := t.members(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLedger, err)
	}
	next := slices.Clone(t.loaded)
	again := false
	for key := range members {
		if slices.Contains(t.loaded, key) {
			continue
		}
		next = append(next, key)
		n, err := t.store.Count(ctx, key)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLedger, err)
		}
		again = again || n > 0
	}
	gone := slices.ContainsFunc(next, func(k authority.IssuerKey) bool { _, ok := members[k]; return !ok })
	t.mu.Lock()
	t.leaving = gone
	t.mu.Unlock()
	if gone {
		signal(t.verifyNow)
	}
	if len(next) == len(t.loaded) {
		return nil
	}
	if again && t.position > 0 {
		// Die after this: it is done again.
		if err := t.moveTo(ctx, 0); err != nil {
			return err
		}
	}
	return t.keepLoaded(ctx, next)
}

func (t *target) keepLoaded(ctx context.Context, next []authority.IssuerKey) error {
	b, err := json.Marshal(progress{Place: t.place(), Loaded: next})
	if err != nil {
		return fmt.Errorf("encode CAs of directory %s: %w", t.spec.ID(), err)
	}
	if err := t.store.Accept(ctx, authority.Accepted{Name: t.progressName(), Spec: b}); err != nil {
		return fmt.Errorf("%w: %w", ErrLedger, err)
	}
	t.loaded = next
	return nil
}

// dropLeft forgets the CAs whose entries a comparison has removed: those that
// were no members when it began, nor are now.
func (t *target) dropLeft(ctx context.Context, before map[authority.IssuerKey]authority.Settings) error {
	t.publishing.Lock()
	defer t.publishing.Unlock()
	now, err := t.members(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLedger, err)
	}
	left := slices.DeleteFunc(slices.Clone(t.loaded), func(k authority.IssuerKey) bool {
		_, was := before[k]
		_, is := now[k]
		return !was && !is
	})
	t.mu.Lock()
	t.leaving = slices.ContainsFunc(left, func(k authority.IssuerKey) bool { _, ok := now[k]; return !ok })
	t.mu.Unlock()
	if len(left) == len(t.loaded) {
		return nil
	}
	return t.keepLoaded(ctx, left)
}

// publications are what changes mean for the directory. A CA and its lists are
// given in their state of now, which is never older than the changes.
func (t *target) publications(ctx context.Context, changes []authority.Change) ([]directory.Publication, error) {
	members, err := t.members(ctx)
	if err != nil {
		return nil, err
	}
	var batch []directory.Publication
	whole := map[authority.IssuerKey]bool{} // CAs to be given with every list
	for _, c := range changes {
		switch {
		case c.Kind == authority.ChangeAccepted:
			for key := range members {
				whole[key] = whole[key] || c.Accepted.Name == acceptedName(key)
			}
		case c.Kind == authority.ChangeCRL || c.Kind == authority.ChangeDelta:
			if of, is := c.CRL.Issuer.OfTrustList(); is {
				if ca, ok := members[of]; ok {
					batch = append(batch, trustListOf(ca, *c.CRL))
				}
			} else if ca, ok := members[c.CRL.Issuer]; ok && ca.MaxShards > 1 {
				p, err := t.shard(ctx, ca, c.CRL.Shard) // with both of its lists
				if err != nil {
					return nil, err
				}
				if p.Shard != nil {
					batch = append(batch, p)
				}
			} else if ok {
				whole[ca.Key] = true
			}
		case c.Kind == authority.ChangeSerial:
			if _, ok := members[c.Record.Issuer]; ok {
				if p, ok := publicationOf(c.Record); ok {
					batch = append(batch, p)
				}
			}
		}
	}
	var first []directory.Publication // a CA before its serials
	for key, wanted := range whole {
		if !wanted {
			continue
		}
		err := t.authority(ctx, members[key], func(p directory.Publication) error {
			first = append(first, p)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return append(first, batch...), nil
}

func acceptedName(k authority.IssuerKey) string {
	return fmt.Sprintf("%s/g%d", k.Authority, k.Generation)
}
