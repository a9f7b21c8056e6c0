package upstream

import (
	"slices"
	"sync"
	"time"
)

// idlePool holds the kept-alive connections to one endpoint. The one that was
// used last is taken first, so that the surplus of a burst grows old at the
// bottom and is reaped.
type idlePool struct {
	mu   sync.Mutex
	idle []*Conn // oldest first
	raw  int     // idle connections of lanes
	// generation counts the times the endpoint went down: a connection made
	// before is not kept after its exchange.
	generation uint64
	// retired is set when the pool was taken out of the transport's map. Who
	// still holds it looks the endpoint up again.
	retired bool
	quiet   int // reaps in a row that found nothing here
}

// reapsUntilRetired is the number of reaps after which an empty pool leaves the
// map, so that endpoints that were removed do not stay for ever.
const reapsUntilRetired = 60

// take returns the connection used last that is still good, nil when there is
// none. It closes the bad ones on its way: when a backend was restarted, all of
// them are.
//
// Only one that was made with these settings of TLS will do: pools that share an
// endpoint need not share those, nor do two configurations of one pool.
func (p *idlePool) take(now time.Time, tlsID string) *Conn {
	for {
		p.mu.Lock()
		i := len(p.idle) - 1
		for i >= 0 && p.idle[i].tlsID != tlsID {
			i--
		}
		if i < 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[i]
		p.idle = slices.Delete(p.idle, i, i+1)
		p.mu.Unlock()
		c.counters.idle.Add(-1)
		if c.idleUntil.Before(now) {
			c.close()
			continue
		}
		if !c.quiet() {
			c.counters.stale.Add(1)
			c.close()
			continue
		}
		return c
	}
}

// put keeps c and reports whether it did. When it did not, the caller closes c.
func (p *idlePool) put(c *Conn, maxIdle int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired || p.generation != c.generation || len(p.idle)+p.raw >= maxIdle {
		return false
	}
	p.idle = append(p.idle, c)
	p.quiet = 0
	c.counters.idle.Add(1)
	return true
}

// putRaw counts c as idle on a lane, and reports whether it may be.
func (p *idlePool) putRaw(c *Conn, maxIdle int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired || p.generation != c.generation || len(p.idle)+p.raw >= maxIdle {
		return false
	}
	p.raw++
	p.quiet = 0
	c.counters.idle.Add(1)
	return true
}

// takeRaw takes putRaw back, and reports whether c may be used.
func (p *idlePool) takeRaw(c *Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raw--
	c.counters.idle.Add(-1)
	return !p.retired && p.generation == c.generation
}

// isCurrent reports whether connections of a generation may still be used.
func (p *idlePool) isCurrent(generation uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.retired && p.generation == generation
}

// hasRaw reports whether lanes have idle connections.
func (p *idlePool) hasRaw() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.raw > 0
}

// begin returns the generation for a new connection; ok is false when the pool
// is retired.
func (p *idlePool) begin() (generation uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quiet = 0
	return p.generation, !p.retired
}

// drop empties the pool and returns what was idle, for the caller to close; what
// is in use is closed at its Release.
func (p *idlePool) drop(retire bool) []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation++
	p.retired = p.retired || retire
	idle := p.idle
	p.idle = nil
	return idle
}

// reap closes what has been idle for too long or was closed by the backend, and
// reports whether the pool is out of use and now retired.
func (p *idlePool) reap(now time.Time) (retired bool) {
	var bad []*Conn
	p.mu.Lock()
	kept := p.idle[:0]
	for _, c := range p.idle {
		switch {
		case c.idleUntil.Before(now):
			bad = append(bad, c)
		case !c.quiet():
			c.counters.stale.Add(1)
			bad = append(bad, c)
		default:
			kept = append(kept, c)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	p.quiet++
	if len(kept) == 0 && p.raw == 0 && p.quiet > reapsUntilRetired {
		p.retired = true
	}
	retired = p.retired
	p.mu.Unlock()
	closeAll(bad)
	return retired
}

func closeAll(conns []*Conn) {
	for _, c := range conns {
		c.counters.idle.Add(-1)
		c.close()
	}
}
