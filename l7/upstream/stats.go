package upstream

import (
	"maps"
	"sync/atomic"
)

// Stats is what happened to the connections of a group, since the start.
type Stats struct {
	Dials    uint64 // connections established
	Failures uint64 // connects that failed
	Reuses   uint64 // exchanges that got a kept-alive connection
	Stale    uint64 // kept-alive connections found closed, or with surplus bytes, before use
	Idle     int64  // kept-alive connections now
	InUse    int64  // connections lent to exchanges now
}

// counters is the live form of Stats.
type counters struct {
	dials, failures, reuses, stale atomic.Uint64
	idle, inUse                    atomic.Int64
	latency                        Latency // of exchanges that may hedge
}

// Stats returns the numbers of a group, all zero when it has had no connection.
// A group keeps its numbers when it leaves the configuration and returns.
func (t *Transport) Stats(group string) Stats {
	c := (*t.counters.Load())[group]
	if c == nil {
		return Stats{}
	}
	return Stats{
		Dials: c.dials.Load(), Failures: c.failures.Load(), Reuses: c.reuses.Load(), Stale: c.stale.Load(),
		Idle: c.idle.Load(), InUse: c.inUse.Load(),
	}
}

// countersOf returns the counters of a group, made on first use. Groups are
// named by the configuration, so that there is no bound to enforce.
func (t *Transport) countersOf(group string) *counters {
	if c := (*t.counters.Load())[group]; c != nil {
		return c
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.counters.Load()
	if c := old[group]; c != nil {
		return c
	}
	m := maps.Clone(old)
	c := &counters{}
	m[group] = c
	t.counters.Store(&m)
	return c
}
