package cache

import "sync/atomic"

// counts are what the store counts of its own doing.
type counts struct {
	fills, stored, aborted, passed, lagged     atomic.Uint64
	tooLarge, full, varied, refreshed, evicted atomic.Uint64
	purged, waits, squeezes, loaded            atomic.Uint64
	flights, waiting                           atomic.Int64
}

// Stats is what a store holds, and what became of what was given to it. The counters only
// ever grow.
type Stats struct {
	Objects int   // those that derive from others and those that still grow included
	Bytes   int64 // what the store takes of its budget
	Budget  int64 // of Options; less while the store is squeezed
	Payload int64 // octets of Bytes in pieces that are in use

	Fills     uint64 // begun
	Stored    uint64 // and committed
	Aborted   uint64
	Passed    uint64 // delivered but not stored: too large, or for want of memory
	Lagged    uint64 // readers of such bodies that were left behind
	TooLarge  uint64 // not begun for their size
	Full      uint64 // not begun, or passed, because all memory was in use
	Varied    uint64 // removed because a key had too many variants
	Refreshed uint64
	Evicted   uint64
	Purged    uint64
	Loaded    uint64 // from the disk
	Skipped   uint64 // not written to the disk because it was behind

	Flights int64  // fetches for which others may wait, now
	Waiting int64  // those who wait, now
	Waits   uint64 // those who ever waited
}

// Stats returns the figures of now. They are not of one moment.
func (s *Store) Stats() Stats {
	_, pieces := s.arena.usage()
	live, _ := s.entries.usage()
	c := &s.counts
	st := Stats{
		Objects: live, Bytes: s.held(), Budget: s.allowed(), Payload: pieces,
		Fills: c.fills.Load(), Stored: c.stored.Load(), Aborted: c.aborted.Load(), Passed: c.passed.Load(),
		Lagged: c.lagged.Load(), TooLarge: c.tooLarge.Load(), Full: c.full.Load(), Varied: c.varied.Load(),
		Refreshed: c.refreshed.Load(), Evicted: c.evicted.Load(), Purged: c.purged.Load(),
		Flights: c.flights.Load(), Waiting: c.waiting.Load(), Waits: c.waits.Load(), Loaded: c.loaded.Load(),
	}
	if d := s.disk.Load(); d != nil {
		st.Skipped = d.skipped.Load()
	}
	return st
}

// allowed is what may be used of the budget just now.
func (s *Store) allowed() int64 {
	s.sizing.Lock()
	defer s.sizing.Unlock()
	return s.allowance
}
