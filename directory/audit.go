package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrBusy: more was published during an audit than it can tell from drift.
var ErrBusy = errors.New("too much was published during the audit; it is to be run again")

// Audit compares the master with what is desired, repairs it, and counts what
// had been changed behind our back. What is published while it runs is left to
// Publish and never counted. What the master refuses does not keep the rest from
// being repaired, and is the error at the end. A master that was repaired as a whole
// is marked as filled, which one is not that was made anew or emptied; ErrNoBase
// says that it was emptied meanwhile, and is to be audited again. Memory does not grow with the directory.
func (p *Publisher) Audit(ctx context.Context, desired Desired) (Drift, error) {
	p.mu.Lock()
	if p.recent != nil {
		p.mu.Unlock()
		return Drift{}, errors.New("audit: another one is running")
	}
	p.recent = map[string]struct{}{}
	made := p.made
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.recent = nil
		p.mu.Unlock()
	}()
	base, err := p.master.Get(ctx, []string{p.layout.Base()})
	if err != nil {
		return Drift{}, fmt.Errorf("audit: read master: %w", err)
	}
	if base[0] == nil {
		made++ // by this audit or a publication, before anything else
	}
	root := p.layout.root.marked(markOf(base[0]))
	var drift Drift
	var refused refusals
	want := func(ctx context.Context, yield func(Entry) error) error {
		if err := yield(root); err != nil {
			return err
		}
		return desired(ctx, func(publication Publication) error {
			w, err := p.layout.Want(publication)
			if err != nil || w.Entry == nil {
				return err
			}
			return yield(*w.Entry)
		})
	}
	have := func(ctx context.Context, yield func(Entry) error) error {
		return p.master.Walk(ctx, p.layout.Base(), yield)
	}
	err = Compare(ctx, want, have, func(part []Difference) error {
		return wantsOf(ctx, part, want, func(wants []Want) error {
			n, err := p.repairEach(ctx, wants, &refused)
			drift = drift.plus(n)
			return err
		})
	})
	if err == nil {
		err = p.markFilled(ctx, made)
	}
	if err == nil && refused.count > 0 {
		err = fmt.Errorf("%d entries are refused, at last: %w", refused.count, refused.last)
	}
	if err != nil {
		return drift, fmt.Errorf("audit: %w", err)
	}
	return drift, nil
}

// repairEach repairs a chunk, one by one when the master refuses one of it.
func (p *Publisher) repairEach(ctx context.Context, wants []Want, refused *refusals) (Drift, error) {
	drift, err := p.repairChunk(ctx, wants)
	if !isRefusal(err) || errors.Is(err, ErrBusy) {
		return drift, err
	}
	for i := range wants {
		n, err := p.repairChunk(ctx, wants[i:i+1])
		if isRefusal(err) && !errors.Is(err, ErrBusy) {
			refused.add(wants[i].DN, err)
			continue
		}
		if drift = drift.plus(n); err != nil {
			return drift, err
		}
	}
	return drift, nil
}

// wantsOf reads a listing once more for the entries of differences, of which a
// comparison keeps digests alone, and calls yield for chunks of them in the
// order of the listing; then for what is extra, children first.
func wantsOf(ctx context.Context, part []Difference, want Listing, yield func([]Want) error) error {
	open := make(map[string]string, len(part))
	for _, d := range part {
		key, err := NormalizeDN(d.DN)
		if err != nil {
			return err
		}
		open[key] = d.DN
	}
	var batch []Want
	add := func(w Want) error {
		if batch = append(batch, w); len(batch) < chunk {
			return nil
		}
		full := batch
		batch = nil
		return yield(full)
	}
	err := want(ctx, func(e Entry) error {
		key, err := NormalizeDN(e.DN)
		if err != nil {
			return err
		}
		if _, ok := open[key]; !ok {
			return nil
		}
		delete(open, key)
		return add(Want{DN: e.DN, Entry: &e})
	})
	if err != nil {
		return err
	}
	// What is left is not wanted: extra, or gone since the comparison.
	extra := slices.Collect(maps.Values(open))
	sortDeepestFirst(extra)
	for _, name := range extra {
		if err := add(Want{DN: name}); err != nil {
			return err
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return yield(batch)
}

// repairChunk leaves out what was published since the audit began: its state on
// the master is right, and what the audit has read may be old.
func (p *Publisher) repairChunk(ctx context.Context, wants []Want) (Drift, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.recent) > maxRecent {
		return Drift{}, ErrBusy
	}
	wants = slices.DeleteFunc(slices.Clone(wants), func(w Want) bool {
		key, err := NormalizeDN(w.DN)
		_, isRecent := p.recent[key]
		return err != nil || isRecent
	})
	drift, err := p.repairNow(ctx, wants)
	if errors.Is(err, ErrNotFound) {
		if _, err := p.ensureParents(ctx, wants); err != nil {
			return Drift{}, fmt.Errorf("make parents: %w", err)
		}
		drift, err = p.repairNow(ctx, wants)
	}
	return drift, err
}

func (p *Publisher) repairNow(ctx context.Context, wants []Want) (Drift, error) {
	have, err := p.master.Get(ctx, wantDNs(wants))
	if err != nil {
		return Drift{}, fmt.Errorf("read master: %w", err)
	}
	p.keepMarks(wants, have)
	drift := driftOf(wants, have)
	for i, w := range wants {
		if w.Entry != nil && have[i] == nil && w.DN == p.layout.Base() {
			p.made++
		}
	}
	if err := applySkippingParents(ctx, p.master, Plan(wants, have)); err != nil {
		return Drift{}, fmt.Errorf("repair master: %w", err)
	}
	return drift, nil
}

func sortDeepestFirst(names []string) {
	slices.SortFunc(names, func(a, b string) int {
		if n := depth(b) - depth(a); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
}
