package ratelimit

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"time"
)

// The buckets that are kept: 256 KiB whatever peers do. A bucket that has run
// empty counts for nothing, so those in use are few: one for each network of the
// last seconds, or of the last minute if it nearly fills its bucket.
const (
	bucketSets = 1 << 12
	bucketWays = 4
)

// bucket is that of one network, which holds a minute's worth and runs empty in a
// minute. It is the moment when it will be empty, after the start of the table.
type bucket struct {
	network uint64
	empty   time.Duration
}

// buckets are those of many networks. A network is looked for in one set, which a
// seed that nobody outside knows chooses. Where the set is full the emptiest bucket
// makes room: who fills his own is remembered, however many others come once.
type buckets struct {
	seed maphash.Seed
	sets [][bucketWays]bucket
}

func newBuckets() buckets {
	return buckets{seed: maphash.MakeSeed(), sets: make([][bucketWays]bucket, bucketSets)}
}

// of returns the bucket of a network, or the one that makes room for it.
func (t *buckets) of(network uint64) *bucket {
	set := &t.sets[maphash.Comparable(t.seed, network)%bucketSets]
	emptiest := &set[0]
	for i := range set {
		if set[i].network == network {
			return &set[i]
		}
		if set[i].empty < emptiest.empty {
			emptiest = &set[i]
		}
	}
	return emptiest
}

// full tells whether one more would be too much at a rate per minute; 0 = never.
func (b *bucket) full(network uint64, rate int, now time.Duration) bool {
	return rate > 0 && b.network == network && max(b.empty, now)+time.Minute/time.Duration(rate) > now+time.Minute
}

// add counts one.
func (b *bucket) add(network uint64, rate int, now time.Duration) {
	if rate == 0 {
		return
	}
	if b.network != network {
		*b = bucket{network: network}
	}
	b.empty = max(b.empty, now) + time.Minute/time.Duration(rate)
}

// number tells networks of one kind apart: addresses, or those around them. 0 is
// that of an invalid one. An IPv6 network is complemented, so that the numbers of
// IPv4 are among those of multicast, where nobody sends from.
func number(p netip.Prefix) uint64 {
	const v4 = 1 << 32
	switch a := p.Addr(); {
	case !a.IsValid():
		return 0
	case a.Is4():
		octets := a.As4()
		return v4 | uint64(binary.BigEndian.Uint32(octets[:]))
	default:
		octets := a.As16()
		return ^binary.BigEndian.Uint64(octets[:])
	}
}
