package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// compare reads master and slave in full and repairs the slave. What differs
// counts as drift if counted is set; it then must have caught up before.
func (w *worker) compare(ctx context.Context, counted bool) error {
	listing := func(s Server) Listing {
		return func(ctx context.Context, yield func(Entry) error) error { return s.Walk(ctx, w.config.Base, yield) }
	}
	err := Compare(ctx, listing(w.config.Master), listing(w.slave.Server), func(part []Difference) error {
		return w.repair(ctx, part, counted)
	})
	if err != nil {
		return fmt.Errorf("compare with master: %w", err)
	}
	w.update(func(s *SlaveStatus) { s.LastCompare = w.config.Now() })
	return nil
}

func (w *worker) repair(ctx context.Context, part []Difference, counted bool) error {
	var there, extra []string
	for _, d := range part {
		if d.Kind == Extra {
			extra = append(extra, d.DN)
		} else {
			there = append(there, d.DN)
		}
	}
	sortDeepestFirst(extra)
	for _, list := range [][]string{there, extra} {
		for dns := range slices.Chunk(list, chunk) {
			if !counted {
				if _, err := w.copy(ctx, dns, nil); err != nil {
					return err
				}
				continue
			}
			drift, err := w.copy(ctx, dns, w.changedMeanwhile)
			if err != nil {
				return err
			}
			w.update(func(s *SlaveStatus) { s.Drift = s.Drift.plus(drift) })
		}
	}
	return nil
}

// changedMeanwhile returns the normalized DNs that the log has after the
// cursor: the next catchUp brings them, so they are no drift.
func (w *worker) changedMeanwhile(ctx context.Context) (map[string]bool, error) {
	recent := map[string]bool{}
	for cursor := w.cursor; ; {
		log, err := w.config.Master.Changes(ctx, cursor, maxPage)
		if err != nil {
			return nil, fmt.Errorf("read log of master: %w", err)
		}
		for _, name := range log.DNs {
			if key, err := NormalizeDN(name); err == nil {
				recent[key] = true
			}
		}
		// What a comparison has not caught up with by then it does not count.
		if cursor = log.Next; !log.More || len(recent) > maxRecent {
			return recent, nil
		}
	}
}

// copy makes the slave hold what the master holds under dns now, which is why
// it converges in whatever order and however often it is called. meanwhile,
// unless nil, is asked after both sides were read; what it names is left alone.
func (w *worker) copy(ctx context.Context, dns []string, meanwhile func(context.Context) (map[string]bool, error)) (Drift, error) {
	dns, err := w.withinBase(dns, false)
	if err != nil || len(dns) == 0 {
		return Drift{}, err
	}
	drift, err := w.copyPart(ctx, dns, meanwhile)
	if !errors.Is(err, ErrNotFound) {
		return drift, err
	}
	// The slave lacks a parent. Ancestors are not read otherwise: that of a
	// subscriber holds a CRL.
	if dns, err = w.withinBase(dns, true); err != nil {
		return drift, err
	}
	for part := range slices.Chunk(dns, MaxGet) {
		more, err := w.copyPart(ctx, part, meanwhile)
		drift = drift.plus(more)
		if err != nil {
			return drift, err
		}
	}
	return drift, nil
}

func (w *worker) copyPart(ctx context.Context, dns []string, meanwhile func(context.Context) (map[string]bool, error)) (Drift, error) {
	have, err := w.slave.Server.Get(ctx, dns)
	if err != nil {
		return Drift{}, fmt.Errorf("read slave: %w", err)
	}
	master, err := w.config.Master.Get(ctx, dns)
	if err != nil {
		return Drift{}, fmt.Errorf("read master: %w", err)
	}
	wants := make([]Want, len(dns))
	for i := range dns {
		wants[i] = Want{DN: dns[i], Entry: master[i]}
	}
	apply := w.slave.Server.Apply
	if meanwhile != nil {
		apply = func(ctx context.Context, changes []Change) error {
			return applySkippingParents(ctx, w.slave.Server, changes)
		}
		if wants, have, err = leaveOut(ctx, wants, have, meanwhile); err != nil {
			return Drift{}, err
		}
	}
	changes := Plan(wants, have)
	if len(changes) == 0 {
		return Drift{}, nil
	}
	if err := apply(ctx, changes); err != nil {
		return Drift{}, fmt.Errorf("write slave: %w", err)
	}
	w.update(func(s *SlaveStatus) { s.Pushed += int64(len(changes)) })
	return driftOf(wants, have), nil
}

func leaveOut(ctx context.Context, wants []Want, have []*Entry, meanwhile func(context.Context) (map[string]bool, error)) ([]Want, []*Entry, error) {
	recent, err := meanwhile(ctx)
	if err != nil {
		return nil, nil, err
	}
	var keptWants []Want
	var keptHave []*Entry
	for i, want := range wants {
		if key, err := NormalizeDN(want.DN); err == nil && !recent[key] {
			keptWants, keptHave = append(keptWants, want), append(keptHave, have[i])
		}
	}
	return keptWants, keptHave, nil
}

// withinBase drops DNs outside the base, which the log may name, and duplicates;
// with ancestors it adds those up to the base, parents first.
func (w *worker) withinBase(dns []string, ancestors bool) ([]string, error) {
	base, err := parseDN(w.config.Base)
	if err != nil {
		return nil, err
	}
	type named struct {
		dn    string
		depth int
	}
	seen := map[string]bool{}
	var all []named
	for _, name := range dns {
		d, err := parseDN(name)
		if err != nil || !d.within(base) {
			continue
		}
		for ; len(d) >= len(base); d = d[1:] {
			key := d.key()
			if seen[key] {
				break // with its ancestors
			}
			seen[key] = true
			all = append(all, named{d.String(), len(d)})
			if !ancestors {
				break
			}
		}
	}
	slices.SortStableFunc(all, func(a, b named) int { return a.depth - b.depth })
	sorted := make([]string, len(all))
	for i, n := range all {
		sorted[i] = n.dn
	}
	return sorted, nil
}
