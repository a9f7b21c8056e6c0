package limit

import (
	"encoding/binary"
	"net/netip"
	"sync"
)

// sourceShards is the number of locks over the sources of one level. A power of two.
const sourceShards = 32

// shrinkAt is the number of entries a shard's map must have held before it is
// given up for a new one when it runs empty: maps of Go do not shrink, and a
// flood from many addresses must not leave its size behind.
const shrinkAt = 1024

// key is a source: the first bits of an address. Without pointers, so that the
// garbage collector does not look into the maps.
type key struct{ hi, lo uint64 }

// mark4 stands before IPv4. As the first half of an IPv6 address it would be
// multicast, which is no source.
const mark4 = ^uint64(0)

func keyOf(a netip.Addr, bits4, bits6 uint) key {
	a = a.Unmap()
	switch {
	case a.Is4():
		b := a.As4()
		return key{hi: mark4, lo: uint64(binary.BigEndian.Uint32(b[:])) >> (32 - bits4)}
	case a.Is6():
		b := a.As16()
		k := key{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
		if bits6 <= 64 {
			// A shift by 64 gives 0. The mark keeps ::/64 apart from no source.
			return key{hi: k.hi >> (64 - bits6), lo: mark6}
		}
		return key{hi: k.hi, lo: k.lo >> (128 - bits6) << (128 - bits6)}
	}
	return key{}
}

// mark6 stands behind the network of an IPv6 address.
const mark6 = ^uint64(0)

// shardOf mixes the bits (Fibonacci hashing), since neighbours differ in the low ones only.
func (k key) shardOf() int {
	return int((k.hi^k.lo*0x9E3779B97F4A7C15)*0x9E3779B97F4A7C15>>32) % sourceShards
}

// sources counts connections by source. The zero value is ready. Entries exist
// only while their count is not zero.
type sources struct {
	shard [sourceShards]sourceShard
}

type sourceShard struct {
	mu   sync.Mutex
	n    map[key]int32
	peak int
	_    [40]byte // a cache line each
}

// take counts one connection of k in, unless it already has limit of them.
func (s *sources) take(k key, limit int64) bool {
	sh := &s.shard[k.shardOf()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := sh.n[k]
	if int64(n) >= limit {
		return false
	}
	if sh.n == nil {
		sh.n = make(map[key]int32)
	}
	sh.n[k] = n + 1
	sh.peak = max(sh.peak, len(sh.n))
	return true
}

// give counts one connection of k out.
func (s *sources) give(k key) {
	sh := &s.shard[k.shardOf()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := sh.n[k]
	switch {
	case n <= 0:
		panic("BUG: limit: a source gives back a connection it does not have")
	case n > 1:
		sh.n[k] = n - 1
		return
	}
	delete(sh.n, k)
	if len(sh.n) == 0 && sh.peak > shrinkAt {
		sh.n, sh.peak = nil, 0
	}
}
