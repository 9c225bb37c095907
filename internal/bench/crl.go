package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// deltaInterval of the stage's CA while deltas are measured.
const deltaInterval = time.Hour

// CRL signs the list of every shard anew, as many at once as there are cores: a
// full list, or a delta of what changed since the full lists that are there.
func (s *Stage) CRL(ctx context.Context, deltas bool) (Result, error) {
	ca, err := s.Authorities.CA(s.key)
	if err != nil {
		return Result{}, err
	}
	name, settings := "crl", ca.Settings
	if settings.DeltaInterval = 0; deltas {
		name, settings.DeltaInterval = "crl-delta", deltaInterval
	}
	if err := s.Authorities.Accept(ctx, settings); err != nil {
		return Result{}, fmt.Errorf("%s: %w", name, err)
	}
	sizes := make([]int, ca.MaxShards)
	r, err := each(ctx, name, len(sizes), runtime.GOMAXPROCS(0), func(ctx context.Context, shard int) error {
		list, err := s.Authorities.Publish(ctx, s.key, int32(shard))
		if err == nil && list.IsDelta() != deltas {
			err = fmt.Errorf("shard %d: no full list is there that a delta can follow: run terrace bench crl first", shard)
		}
		sizes[shard] = len(list.DER)
		return err
	})
	total := 0
	for _, n := range sizes {
		total += n
	}
	r.Note = fmt.Sprintf("%d shards in %v, %.1f MiB together, about %d entries each", len(sizes), time.Duration(r.Elapsed).Round(time.Millisecond),
		float64(total)/(1<<20), total/len(sizes)/entrySize)
	return r, err
}

// entrySize is about what an entry takes with a serial number of 20 octets and a reason.
const entrySize = 53
