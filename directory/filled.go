package directory

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
)

// A master says in its base entry that it holds all that is desired: an empty
// one that is being filled looks to a pusher like one from which everything was
// removed. The mark is written once a comparison with what is desired has ended,
// and goes away with the entry when the master is emptied. It is another for each
// filling, so that two readings of the same mark have none between them.
const (
	// markType is an attribute that every class of a base entry may have (RFC 4519).
	markType   = "description"
	markPrefix = "terrace: filled "
)

func newMark() string { return markPrefix + rand.Text() }

// markOf is the mark of a base entry, empty for none.
func markOf(base *Entry) string {
	if base == nil {
		return ""
	}
	for _, v := range base.Values(markType) {
		if strings.HasPrefix(string(v), markPrefix) {
			return string(v)
		}
	}
	return ""
}

// IsFilled says whether a master's base entry, which may be nil, tells that the
// master holds all that is desired.
func IsFilled(base *Entry) bool { return markOf(base) != "" }

// marked is a base entry with a mark, or without one when it is empty.
func (e Entry) marked(mark string) Entry {
	attributes := []Attribute{text(markType, mark)}
	if mark == "" {
		attributes = nil
	}
	for _, a := range e.Attributes {
		if !strings.EqualFold(a.Type, markType) {
			attributes = append(attributes, a)
		}
	}
	return NewEntry(e.DN, attributes...)
}

// readMark returns a master's mark, empty while it is being filled; without a base
// entry it is ErrNoBase.
func readMark(ctx context.Context, master Server, base string) (string, error) {
	entries, err := master.Get(ctx, []string{base})
	if err != nil {
		return "", fmt.Errorf("read master: %w", err)
	}
	if entries[0] == nil {
		return "", fmt.Errorf("master: %w", noBase(base))
	}
	return markOf(entries[0]), nil
}

// keepMarks has the base entry keep the mark that it has, and get none when it is
// made: what was emptied is not filled by that.
func (p *Publisher) keepMarks(wants []Want, have []*Entry) {
	for i, w := range wants {
		if w.Entry != nil && w.DN == p.layout.Base() {
			e := w.Entry.marked(markOf(have[i]))
			wants[i].Entry = &e
		}
	}
}

// markFilled marks a master that a comparison has just repaired, unless it has a
// mark or its base entry was made more than so many times since the comparison
// began: then it was emptied meanwhile.
func (p *Publisher) markFilled(ctx context.Context, made int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made > made {
		return fmt.Errorf("master was emptied meanwhile: %w", noBase(p.layout.Base()))
	}
	mark, err := readMark(ctx, p.master, p.layout.Base())
	if err != nil || mark != "" {
		return err
	}
	// Die before this: the next comparison marks it.
	if err := p.master.Apply(ctx, []Change{{Kind: Modify, DN: p.layout.Base(), Attributes: []Attribute{text(markType, newMark())}}}); err != nil {
		return fmt.Errorf("mark master as filled: %w", err)
	}
	return nil
}

// keepUnfilled leaves out what a comparison would remove from the slave while the
// master has not the mark with which the comparison began. The master was read
// before, so what it lacks it lacked while it was filled.
func (w *worker) keepUnfilled(ctx context.Context, wants []Want, have []*Entry, m *meanwhile) ([]Want, []*Entry, error) {
	var keptWants []Want
	var keptHave []*Entry
	for i, want := range wants {
		if want.Entry != nil || have[i] == nil {
			keptWants, keptHave = append(keptWants, want), append(keptHave, have[i])
		}
	}
	if len(keptWants) == len(wants) {
		return wants, have, nil
	}
	mark, err := readMark(ctx, w.config.Master, w.config.Base)
	if err != nil || (mark != "" && mark == m.mark) {
		return wants, have, err
	}
	m.unfilled = true
	return keptWants, keptHave, nil
}
