package directory

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// maxHeld is how many entries of each side one pass of a comparison keeps, as a
// DN as it is, a normalized one and a digest each: some 500 bytes with DNs of 120
// bytes, so 100 MB for both sides, and twice that with what the collector has not
// freed yet.
const maxHeld = 100_000

// grownMargin is how many entries a pass may find beyond twice those of the pass before.
const grownMargin = 10_000

// buckets is how many parts a directory is compared in: 64 Ki, 24 bytes each a side.
const buckets = 1 << 16

// Listing calls yield for each entry of a directory, each DN once, in any
// order, and ends with the first error of yield.
type Listing func(ctx context.Context, yield func(Entry) error) error

// DifferenceKind says how an entry differs.
type DifferenceKind int

// Kinds of differences.
const (
	Missing DifferenceKind = iota + 1 // wanted, not there
	Changed                           // there with other attributes
	Extra                             // there, not wanted
)

// Difference between what is wanted and what a server has.
type Difference struct {
	Kind DifferenceKind
	DN   string
}

// Drift counts what was changed on a server behind our back, as it was found
// and repaired.
type Drift struct{ Missing, Changed, Extra int64 }

// Total is the number of entries.
func (d Drift) Total() int64 { return d.Missing + d.Changed + d.Extra }

func (d Drift) plus(e Drift) Drift {
	return Drift{d.Missing + e.Missing, d.Changed + e.Changed, d.Extra + e.Extra}
}

// driftOf counts by what is present now; present is parallel to wants.
func driftOf(wants []Want, present []*Entry) Drift {
	var d Drift
	for i, w := range wants {
		switch have := present[i]; {
		case w.Entry != nil && have == nil:
			d.Missing++
		case w.Entry == nil && have != nil:
			d.Extra++
		case w.Entry != nil && !w.Entry.Equal(*have):
			d.Changed++
		}
	}
	return d
}

// Compare finds the differences between two listings in memory that does not
// grow with them. Up to 100,000 entries a side, each listing is read once.
// Larger ones are first summed up in 65,536 buckets by the digest of the DN;
// only the entries of buckets whose sums differ are then looked at, in as many
// further passes as bounded memory takes. Equal directories, of any size, take
// the first pass alone; a server that lacks nearly everything of a large
// directory should be loaded with LDIF instead. A further pass that finds far more
// than the first one counted is an error, so that no server fills our memory.
//
// yield is called once for each pass with differences, parents before
// children, from the goroutine of the caller; the listings are read at once, each
// in a goroutine of its own. Digests are SM3, salted freshly for each comparison.
func Compare(ctx context.Context, want, have Listing, yield func([]Difference) error) error {
	return compare(ctx, want, have, maxHeld, yield)
}

func compare(ctx context.Context, want, have Listing, limit int, yield func([]Difference) error) error {
	c := comparison{salt: make([]byte, 32)}
	if _, err := rand.Read(c.salt); err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	wanted, present, err := both(ctx, func(ctx context.Context, side int) (*summary, error) {
		return c.summarize(ctx, [...]Listing{want, have}[side], limit)
	})
	if err != nil {
		return err
	}
	if wanted.held != nil && present.held != nil {
		return yieldDifferences(wanted.held, present.held, yield)
	}
	for _, part := range differing(wanted, present, limit) {
		heldWant, heldHave, err := both(ctx, func(ctx context.Context, side int) (map[string]held, error) {
			return c.hold(ctx, [...]Listing{want, have}[side], part, [...]*summary{wanted, present}[side])
		})
		if err != nil {
			return err
		}
		if err := yieldDifferences(heldWant, heldHave, yield); err != nil {
			return err
		}
	}
	return nil
}

// both reads the two sides of a comparison at once: they are on different
// servers, each of which would wait for the other. read is told 0 for what is
// wanted, 1 for what is there.
func both[T any](ctx context.Context, read func(ctx context.Context, side int) (T, error)) (want, have T, err error) {
	group, ctx := errgroup.WithContext(ctx)
	for side, result := range []*T{&want, &have} {
		group.Go(func() error {
			r, err := read(ctx, side)
			if err != nil {
				return fmt.Errorf("compare: read what is %s: %w", [...]string{"wanted", "there"}[side], err)
			}
			*result = r
			return nil
		})
	}
	return want, have, group.Wait()
}

type comparison struct{ salt []byte }

// held is an entry that a pass keeps, under its normalized DN.
type held struct {
	dn     string
	digest [32]byte
}

type summary struct {
	sums   [][2]uint64 // sums of digests by bucket, mod 2^128
	counts []int64
	held   map[string]held // nil when there are too many
}

func (c comparison) bucket(key string) int {
	sum := Entry{}.digest(c.salt, key)
	return int(binary.BigEndian.Uint16(sum[:]))
}

func (c comparison) summarize(ctx context.Context, list Listing, limit int) (*summary, error) {
	s := &summary{sums: make([][2]uint64, buckets), counts: make([]int64, buckets), held: map[string]held{}}
	err := list(ctx, func(e Entry) error {
		key, err := NormalizeDN(e.DN)
		if err != nil {
			return err
		}
		digest := e.digest(c.salt, key)
		b := c.bucket(key)
		lo := s.sums[b][0] + binary.BigEndian.Uint64(digest[:])
		if lo < s.sums[b][0] {
			s.sums[b][1]++
		}
		s.sums[b][0] = lo
		s.sums[b][1] += binary.BigEndian.Uint64(digest[8:])
		s.counts[b]++
		if s.held == nil {
			return nil
		}
		if len(s.held) == limit {
			s.held = nil
			return nil
		}
		s.held[key] = held{e.DN, digest}
		return nil
	})
	return s, err
}

// differing groups the buckets that differ so that a pass holds at most limit
// entries a side, or one bucket.
func differing(want, have *summary, limit int) []map[int]bool {
	var parts []map[int]bool
	var size int64
	for b := range buckets {
		if want.sums[b] == have.sums[b] && want.counts[b] == have.counts[b] {
			continue
		}
		n := max(want.counts[b], have.counts[b])
		if len(parts) == 0 || size+n > int64(limit) {
			parts = append(parts, map[int]bool{})
			size = 0
		}
		parts[len(parts)-1][b] = true
		size += n
	}
	return parts
}

func (c comparison) hold(ctx context.Context, list Listing, part map[int]bool, before *summary) (map[string]held, error) {
	kept := map[string]held{}
	var expected, read int64
	for _, n := range before.counts {
		expected += n
	}
	err := list(ctx, func(e Entry) error {
		if read++; read > 2*expected+grownMargin {
			return fmt.Errorf("more than %d entries where the pass before counted %d; is to be compared again", read-1, expected)
		}
		key, err := NormalizeDN(e.DN)
		if err != nil {
			return err
		}
		if part[c.bucket(key)] {
			kept[key] = held{e.DN, e.digest(c.salt, key)}
		}
		return nil
	})
	return kept, err
}

func yieldDifferences(want, have map[string]held, yield func([]Difference) error) error {
	type found struct {
		Difference
		key   string
		depth int
	}
	var all []found
	for key, w := range want {
		switch h, ok := have[key]; {
		case !ok:
			all = append(all, found{Difference{Missing, w.dn}, key, depth(w.dn)})
		case h.digest != w.digest:
			all = append(all, found{Difference{Changed, w.dn}, key, depth(w.dn)})
		}
	}
	for key, h := range have {
		if _, ok := want[key]; !ok {
			all = append(all, found{Difference{Extra, h.dn}, key, depth(h.dn)})
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b found) int {
		if a.depth != b.depth {
			return a.depth - b.depth
		}
		return strings.Compare(a.key, b.key)
	})
	differences := make([]Difference, len(all))
	for i, f := range all {
		differences[i] = f.Difference
	}
	return yield(differences)
}
