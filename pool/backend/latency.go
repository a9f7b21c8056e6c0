package backend

import (
	"math"
	"sync/atomic"
	"time"
)

// latencyMemory is how fast a latency forgets: after this time without an answer
// about a third of it is left, so that a member that was slow is tried again.
const latencyMemory = 10 * time.Second

// What a failure makes of a latency: twice as much, within these.
const (
	leastPenalty = 10 * time.Millisecond
	mostPenalty  = 10 * time.Second
)

// latency is how long a member takes to answer: a moving average that follows a
// rise at once and a fall slowly (peak EWMA). The zero latency is of a member that
// has not answered yet. Where two answers come at the same moment, one may be lost.
type latency struct {
	nanos atomic.Uint64 // bits of a float64
	seen  atomic.Int64  // unix nanoseconds of the last answer
}

// observe takes an answer into account that took d.
func (l *latency) observe(d time.Duration, now int64) {
	old := l.load()
	last := l.seen.Swap(now)
	sample := float64(max(d, 1))
	if sample < old {
		part := decay(now - last)
		sample = old*part + sample*(1-part)
	}
	l.nanos.Store(math.Float64bits(sample))
}

// worsen takes a failure into account. A server that fails quickly must not draw
// more requests by it.
func (l *latency) worsen(now int64) {
	worse := min(max(2*l.at(now), float64(leastPenalty)), float64(mostPenalty))
	l.nanos.Store(math.Float64bits(worse))
	l.seen.Store(now)
}

// at is the latency at now, in nanoseconds, 0: not known.
func (l *latency) at(now int64) float64 {
	nanos := l.load()
	if nanos == 0 {
		return 0
	}
	return nanos * decay(now-l.seen.Load())
}

func (l *latency) load() float64 { return math.Float64frombits(l.nanos.Load()) }

// decay is what is left of a latency after a time. A clock that was set back makes
// no difference.
func decay(nanos int64) float64 {
	if nanos <= 0 {
		return 1
	}
	return math.Exp(-float64(nanos) / float64(latencyMemory))
}

// Timed reports whether the group wants to know by Observe how quickly its members
// answer.
func (g *Group) Timed() bool { return g.table.Load().timed }

// Observe tells how long the member took from the request to the head of its
// response, before Done. It waits for no lock and allocates nothing.
func (m *Member) Observe(d time.Duration) {
	now := time.Now()
	m.latency.observe(d, now.UnixNano())
	m.adapted.observe(d, now, m.inFlight.Load(), &m.group.Conf().Concurrency)
}

// Latency is how long the member takes to answer by what was observed lately, 0
// where nothing is known.
func (m *Member) Latency() time.Duration {
	return time.Duration(m.latency.at(time.Now().UnixNano()))
}
