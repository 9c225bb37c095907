package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
)

// compare reads master and slave in full and repairs the slave. What differs
// counts as drift if counted is set; it then must have caught up before. Unless
// wait is set it does nothing while it is not this comparison's turn.
func (w *worker) compare(ctx context.Context, counted, wait bool) (ended bool, err error) {
	if took, err := w.takeTurn(ctx, wait); !took {
		return false, err
	}
	defer w.endTurn()
	w.links.look(w.config.MasterConnections, w.slave.Connections)
	w.comparing = &refusals{}
	defer func() { w.comparing = nil }()
	mark, err := readMark(ctx, w.config.Master, w.config.Base)
	if err != nil {
		return false, err
	}
	m := &meanwhile{master: w.config.Master, after: w.cursor, skip: !counted, names: map[string]bool{}, mark: mark}
	master := withBase(w.config.Base, walkOf(w.config.Master, w.config.Base))
	err = Compare(ctx, master, walkOf(w.slave.Server, w.config.Base), func(part []Difference) error {
		return w.repair(ctx, part, m)
	})
	if err != nil {
		return false, fmt.Errorf("compare with master: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links.master, w.links.slave = false, false // those that were seen when it began
	w.refused, w.unfilled = *w.comparing, m.unfilled
	w.status.LastCompare = w.config.Now()
	return true, nil
}

func (w *worker) takeTurn(ctx context.Context, wait bool) (bool, error) {
	if w.config.Turn == nil {
		return true, nil
	}
	select {
	case w.config.Turn <- struct{}{}:
		return true, nil
	default:
		if !wait {
			return false, nil
		}
	}
	select {
	case w.config.Turn <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (w *worker) endTurn() {
	if w.config.Turn != nil {
		<-w.config.Turn
	}
}

func walkOf(s Server, base string) Listing {
	return func(ctx context.Context, yield func(Entry) error) error { return s.Walk(ctx, base, yield) }
}

// withBase is a listing that ends with ErrNoBase when the base entry is not in
// it: otherwise a server that lost its data, or hides it, would have the others wiped.
func withBase(base string, list Listing) Listing {
	return func(ctx context.Context, yield func(Entry) error) error {
		root, err := NormalizeDN(base)
		if err != nil {
			return err
		}
		found := false
		err = list(ctx, func(e Entry) error {
			if !found {
				key, err := NormalizeDN(e.DN)
				found = err == nil && key == root
			}
			return yield(e)
		})
		if err == nil && !found {
			err = noBase(base)
		}
		return err
	}
}

func noBase(base string) error {
	return fmt.Errorf("%q: %w; nothing is removed on its word: wait until it is filled again, or let the account read it", base, ErrNoBase)
}

func (w *worker) repair(ctx context.Context, part []Difference, m *meanwhile) error {
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
		err := readAhead(ctx, slices.Collect(slices.Chunk(list, chunk)), w.read, func(_ []string, r *reading) error {
			drift, _, err := w.bring(ctx, r, m)
			if err == nil && !m.skip {
				w.update(func(s *SlaveStatus) { s.Drift = s.Drift.plus(drift) })
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// meanwhile is what the log has after the cursor with which a comparison began:
// the next catchUp brings it, so it is no drift.
type meanwhile struct {
	master Server
	after  Cursor
	skip   bool // nothing is counted, so nothing is left alone
	names  map[string]bool

	mark     string // of the master when the comparison began
	unfilled bool   // something was not removed, as the master is being filled
}

// read returns the normalized DNs; each call reads on where the one before ended.
func (m *meanwhile) read(ctx context.Context) (map[string]bool, error) {
	// What a comparison has not caught up with by then it does not count.
	for len(m.names) <= maxHeld && !m.skip {
		log, err := m.master.Changes(ctx, m.after, maxPage)
		if err != nil {
			return nil, fmt.Errorf("read log of master: %w", err)
		}
		for _, name := range log.DNs {
			if key, err := NormalizeDN(name); err == nil {
				m.names[key] = true
			}
		}
		if m.after = log.Next; !log.More {
			break
		}
	}
	return m.names, nil
}

// reading is what slave and master hold under some DNs, nil for nothing.
type reading struct {
	dns           []string // each once, within the base
	slave, master []*Entry
}

// read asks both servers at once. The slave is written by nobody else, and what is
// changed on the master after it was read has its record in the log, later.
func (w *worker) read(ctx context.Context, dns []string) (*reading, error) {
	dns, err := w.withinBase(dns, false)
	if err != nil || len(dns) == 0 {
		return &reading{}, err
	}
	r := &reading{dns: dns}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if r.slave, err = w.slave.Server.Get(ctx, dns); err != nil {
			return fmt.Errorf("read slave: %w", err)
		}
		return nil
	})
	group.Go(func() (err error) {
		if r.master, err = w.config.Master.Get(ctx, dns); err != nil {
			return fmt.Errorf("read master: %w", err)
		}
		return nil
	})
	return r, group.Wait()
}

// copy makes the slave hold what the master holds under dns now, which is why
// it converges in whatever order and however often it is called. meanwhile,
// unless nil, is that of a comparison: it is asked after both sides were read, and
// what it names is left alone.
func (w *worker) copy(ctx context.Context, dns []string, m *meanwhile) (Drift, error) {
	r, err := w.read(ctx, dns)
	if err != nil {
		return Drift{}, err
	}
	return w.settle(ctx, r, m)
}

// settle copies what was read.
func (w *worker) settle(ctx context.Context, r *reading, m *meanwhile) (Drift, error) {
	drift, err := w.write(ctx, r, m)
	if !errors.Is(err, ErrNotFound) {
		return drift, err
	}
	// The slave lacks a parent. Ancestors are not read otherwise: that of a
	// subscriber holds a CRL.
	dns, err := w.withinBase(r.dns, true)
	if err != nil {
		return drift, err
	}
	drift = Drift{}
	for part := range slices.Chunk(dns, MaxGet) {
		r, err := w.read(ctx, part)
		if err != nil {
			return drift, err
		}
		more, err := w.write(ctx, r, m)
		drift = drift.plus(more)
		if err != nil {
			return drift, err
		}
	}
	return drift, nil
}

func (w *worker) write(ctx context.Context, r *reading, m *meanwhile) (Drift, error) {
	have := r.slave
	wants := make([]Want, len(r.dns))
	for i, name := range r.dns {
		wants[i] = Want{DN: name, Entry: r.master[i]}
	}
	apply := w.slave.Server.Apply
	if m != nil {
		apply = func(ctx context.Context, changes []Change) error {
			return applySkippingParents(ctx, w.slave.Server, changes)
		}
		var err error
		if wants, have, err = leaveOut(ctx, wants, have, m); err != nil {
			return Drift{}, err
		}
		if wants, have, err = w.keepUnfilled(ctx, wants, have, m); err != nil {
			return Drift{}, err
		}
	}
	changes := Plan(wants, have)
	if len(changes) == 0 {
		return Drift{}, nil
	}
	if changes[0].Kind == Delete { // they come first
		if _, err := readMark(ctx, w.config.Master, w.config.Base); err != nil {
			return Drift{}, err
		}
	}
	if err := apply(ctx, changes); err != nil {
		return driftOf(wants, have), &writeError{err}
	}
	w.update(func(s *SlaveStatus) { s.Pushed += int64(len(changes)) })
	return driftOf(wants, have), nil
}

func leaveOut(ctx context.Context, wants []Want, have []*Entry, m *meanwhile) ([]Want, []*Entry, error) {
	recent, err := m.read(ctx)
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
