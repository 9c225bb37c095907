package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Publish bounds.
const (
	// chunk is how many entries are read, compared and written at a time. With
	// entries of usual size that is some 100 KiB; a chunk of CRLs of 4 MB each
	// would be 512 MB, which only a CA with that many shards of that size has.
	chunk = 128
	// maxRecent bounds what Publish remembers for a running audit.
	maxRecent = 1_000_000
)

// Desired calls yield for the present state of everything that a directory may
// show: each CA and shard, each serial that was ever issued, in any order. It
// ends with the first error of yield. It is called more than once, and a
// publication that changes meanwhile may come in its old or its new state,
// as long as it is also given to Publish after the change.
type Desired func(ctx context.Context, yield func(Publication) error) error

// Published counts what became of publications.
type Published struct {
	Added, Modified, Deleted int
	// Unchanged: the master held it already.
	Unchanged int
	// Withheld: valid certificates that this directory may not show.
	Withheld int
	// Base: the base entry had to be made, as on a master that is new or was emptied.
	Base bool
}

// Publisher writes publications to the master (发布).
type Publisher struct {
	layout *Layout
	master Server

	mu sync.Mutex // one writer: an audit must not undo what is published meanwhile
	// recent holds the DNs published since the running audit began; nil without one.
	recent map[string]struct{}
	made   int // how often the base entry was made
}

// NewPublisher makes a Publisher. There is to be one for each master.
func NewPublisher(layout *Layout, master Server) *Publisher {
	return &Publisher{layout: layout, master: master}
}

// Publish brings the master to the state of a batch. Of publications of one
// entry the last counts. The same batch again writes nothing, so that a feed is
// replayed safely; after an error the whole batch is to be given again. Once it
// returns, all of the batch is durable on the master.
func (p *Publisher) Publish(ctx context.Context, batch []Publication) (Published, error) {
	wants := make([]Want, len(batch))
	for i, publication := range batch {
		w, err := p.layout.Want(publication)
		if err != nil {
			return Published{}, fmt.Errorf("publish: %w", err)
		}
		wants[i] = w
	}
	wants = lastWants(wants) // so that no part reads what another writes
	var sum Published
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(wants)
	err := readAhead(ctx, slices.Collect(slices.Chunk(wants, chunk)), p.readMaster, func(part []Want, have []*Entry) error {
		n, err := p.publish(ctx, part, have)
		sum = sum.plus(n)
		return err
	})
	if err != nil {
		return sum, fmt.Errorf("publish: %w", err)
	}
	return sum, nil
}

// note remembers what is published for a running audit; mu is held.
func (p *Publisher) note(wants []Want) {
	if p.recent == nil || len(p.recent) > maxRecent {
		return
	}
	for _, w := range wants {
		if key, err := NormalizeDN(w.DN); err == nil {
			p.recent[key] = struct{}{}
		}
	}
}

func (p *Publisher) readMaster(ctx context.Context, wants []Want) ([]*Entry, error) {
	have, err := p.master.Get(ctx, wantDNs(wants))
	if err != nil {
		return nil, fmt.Errorf("read master: %w", err)
	}
	return have, nil
}

// publish writes a part of which have was read; mu is held. The parents of an
// earlier part, and other writers, may have changed that meanwhile: it is then read again.
func (p *Publisher) publish(ctx context.Context, wants []Want, have []*Entry) (n Published, err error) {
	n, err = p.write(ctx, wants, have)
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrExists) {
		return n, err
	}
	base := false
	if errors.Is(err, ErrNotFound) {
		if base, err = p.ensureParents(ctx, wants); err != nil {
			return n, fmt.Errorf("make parents: %w", err)
		}
	}
	if have, err = p.readMaster(ctx, wants); err == nil {
		n, err = p.write(ctx, wants, have)
	}
	n.Base = base
	return n, err
}

func (p *Publisher) write(ctx context.Context, wants []Want, have []*Entry) (Published, error) {
	changes := Plan(wants, have)
	var n Published
	n.Unchanged = len(wants)
	for _, w := range wants {
		if w.Withheld {
			n.Withheld++
			n.Unchanged--
		}
	}
	for _, c := range changes {
		switch c.Kind {
		case Add:
			n.Added++
		case Modify:
			n.Modified++
		case Delete:
			n.Deleted++
		}
	}
	n.Unchanged = max(0, n.Unchanged-len(changes))
	if len(changes) == 0 {
		return n, nil
	}
	if err := p.master.Apply(ctx, changes); err != nil {
		return Published{}, fmt.Errorf("write master: %w", err)
	}
	return n, nil
}

// ensureParents makes the base and the entries of CAs that certificates came
// before; what a CA's own publication says is added by it later. It says whether
// the base was missing.
func (p *Publisher) ensureParents(ctx context.Context, wants []Want) (madeBase bool, err error) {
	parents := map[string]Want{p.layout.Base(): {DN: p.layout.Base(), Entry: &p.layout.root}}
	for _, w := range wants {
		d, err := parseDN(w.DN)
		if err != nil {
			return false, err
		}
		if parent := d[1:]; w.Entry != nil && len(parent) == len(p.layout.base)+1 {
			e := NewEntry(parent.String(), text("objectClass", "organizationalUnit", "pkiCA"), text("ou", parent[0][0].value))
			parents[e.DN] = Want{DN: e.DN, Entry: &e}
		}
	}
	for _, w := range wants { // a plan adds parents first
		delete(parents, w.DN)
	}
	list := slices.Collect(maps.Values(parents))
	have, err := p.master.Get(ctx, wantDNs(list))
	if err != nil {
		return false, err
	}
	// Only what is missing: a CA that is there has more than this.
	for i := range list {
		if have[i] != nil {
			list[i].Entry = have[i]
		} else if list[i].DN == p.layout.Base() {
			madeBase = true
		}
	}
	if madeBase {
		p.made++
	}
	return madeBase, p.master.Apply(ctx, Plan(list, have))
}

func (p Published) plus(q Published) Published {
	return Published{p.Added + q.Added, p.Modified + q.Modified, p.Deleted + q.Deleted, p.Unchanged + q.Unchanged, p.Withheld + q.Withheld, p.Base || q.Base}
}

func wantDNs(wants []Want) []string {
	dns := make([]string, len(wants))
	for i, w := range wants {
		dns[i] = w.DN
	}
	return dns
}

// lastWants keeps the last want of each DN.
func lastWants(wants []Want) []Want {
	at := make(map[string]int, len(wants))
	var kept []Want
	for _, w := range wants {
		key, err := NormalizeDN(w.DN)
		if err != nil {
			key = w.DN
		}
		if i, ok := at[key]; ok {
			kept[i] = w
			continue
		}
		at[key] = len(kept)
		kept = append(kept, w)
	}
	return kept
}
