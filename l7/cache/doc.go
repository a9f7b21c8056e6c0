// Package cache keeps responses: it is the store under the step "cache" of package l7.
// What may be stored, what fits a request and how fresh it is, weir/l7/cache/policy says;
// this package holds the bytes, finds them, and lets one fetch serve all who wait for it.
//
// # Use
//
//	switch store.Lookup(key, req, now, &ref) {
//	case cache.Hit:         // judge ref.Meta(); deliver ref.Head() and the body; ref.Release()
//	case cache.Uncacheable: // forward, ask nobody
//	case cache.Miss, cache.OtherVariant:
//		// store.OnDisk(key), then store.Load(key, req, now, &ref), which may block
//	}
//	flight, role := store.Join(key, req, &ref) // ref: what Lookup found, stale, or nothing
//	switch role {
//	case cache.Again:  // somebody stored something since: Lookup again
//	case cache.Waiter: // flight.Wait, then Lookup again, or forward, or give up
//	case cache.Leader: // forward; then flight.End exactly once
//	}
//
// The leader of a flight that gets a response which may be stored begins a fill, ends the
// flight with Stored, and reads what it writes through a Ref of its own as everybody else
// does, or calls Put where the whole body is there. A 304 is taken in with Refresh.
//
// # Memory
//
//	shard (128) ── buckets ──> entry ──> entry ──> ...     one chain per bucket, newest first
//	                             │ first piece: key, Vary, variant, tags, head, short bodies
//	                             └ chain of pieces: the rest of the body
//
// Entries and pieces lie in memory of the operating system, outside the Go heap and
// without pointers, so that the collector neither scans nor counts them. Pieces come from
// slabs of 64 KiB, cut into about a hundred size classes. What the slabs, entries and
// tables take counts against Options.Budget; beyond it, objects are evicted.
//
// An entry counts its references: being in the index is one, and each Ref and each Fill
// is one. Eviction and purge take an entry out of the index, and whoever gives up its last
// reference frees the memory; bytes are never pulled from under a writer.
//
// # Locks
//
// A shard's lock guards its chains, a fill's lock its progress, the evictor's lock the
// queues, the arena's lock the slabs. They nest in the order shard, fill, arena; evictor
// is taken alone or before arena. The only goroutines in this package are the two that
// write to the disk tier, where there is one: SetDisk starts and ends them.
package cache
