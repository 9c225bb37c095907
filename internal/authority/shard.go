package authority

import (
	"strconv"

	"github.com/terrace-pki/terrace/internal/pki"
)

// ShardOf is the shard, below shards, that a new serial is drawn for. The last
// bytes of a serial are random, so it is uniform (to within shards / 2^64) and a function of the serial alone.
func ShardOf(serial pki.Serial, shards int32) int32 {
	low, err := strconv.ParseUint(string(serial[max(0, len(serial)-16):]), 16, 64)
	if err != nil || shards < 1 { // no serial of ours
		return 0
	}
	return int32(low % uint64(shards))
}
