package sqlstore

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/terrace-pki/terrace/internal/audit"
	"github.com/terrace-pki/terrace/internal/pki"
)

const (
	// tallies is the number of groups that serials are counted in: of twenty
	// million, one group has five thousand.
	tallies = 4096
	// namedGroups bounds how many groups' serials are held to name those that are too many.
	namedGroups = 16
)

// tally counts serials in groups, so that those that are in one set and not in
// another can be found without holding either.
type tally struct {
	total  int64
	groups [tallies]int32
}

func group(serial string) int { return int(crc32.ChecksumIEEE([]byte(serial)) % tallies) }

func (t *tally) add(serial string) {
	t.total++
	t.groups[group(serial)]++
}

// extra names the serials of rows that no leaf of an act tells of.
func (c *checker) extra(ctx context.Context, leaves, rows *tally, acts []string, what string) ([]audit.Finding, error) {
	differ := map[int]bool{}
	for i := range leaves.groups {
		if leaves.groups[i] != rows.groups[i] && len(differ) < namedGroups {
			differ[i] = true
		}
	}
	if len(differ) == 0 {
		return nil, nil
	}
	told := map[string]bool{}
	for _, act := range acts {
		if err := c.eachOf(ctx, act, func(serial string) {
			if differ[group(serial)] {
				told[serial] = true
			}
		}); err != nil {
			return nil, err
		}
	}
	found := []audit.Finding{{What: "serials", Problem: fmt.Sprintf("%d %s, and leaves of act %q tell of %d", rows.total, what, acts, leaves.total)}}
	for after := int64(0); ; {
		page, err := c.page(ctx, after)
		if err != nil || len(page) == 0 || len(found) > maxNamed {
			return found, err
		}
		for _, r := range page {
			after = r.id
			serial := string(serialOf(r.serial))
			if differ[group(serial)] && !told[serial] && (acts[0] == actIntent || r.issued) {
				found = append(found, audit.Finding{What: "serial " + serial, Problem: what + ", and no leaf tells of it: it was added behind the authority's back, or its leaf was cut off"})
			}
		}
	}
}

// eachOf goes through the serials that the leaves of an act name.
func (c *checker) eachOf(ctx context.Context, act string, yield func(serial string)) error {
	for after := int64(0); ; {
		page, err := leavesOf(ctx, c.n, after, act)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, l := range page {
			after = l.Seq
			d, err := l.Parse()
			if err != nil {
				continue // it was named already
			}
			for serial := range d {
				yield(string(pki.Serial(serial)))
			}
		}
	}
}

func leavesOf(ctx context.Context, n *Snapshot, after int64, act string) ([]audit.Leaf, error) {
	return leaves(ctx, n.tx, audit.Query{After: after, Limit: audit.MaxPage, Act: act})
}
