package l7

import "weir/l7/upstream"

// Which connections are worth a place on a lane. To change over costs about as much as
// an exchange: a connection whose exchanges a goroutine has to finish time and again is
// better left to goroutines, and one that has not needed them for long is not.

const (
	// maxStrays is how many strays in a row keep a connection off the lane, until there
	// was an exchange that did not need a goroutine.
	maxStrays = 3
	// calmEnough is after how many exchanges that a lane could have served a goroutine
	// leaves its connection to the lane, for each doubling of strays up to calmMost.
	calmEnough = 16
	calmMost   = 1 << 10
)

// admits reports whether a connection that has something to read is served on the lane.
func (c *conn) admits() bool {
	if c.l.tls != nil && !c.begun {
		return false // the handshake waits
	}
	return !c.s.noLanes && (c.calm > 0 || c.strays < maxStrays)
}

// stray notes that a goroutine has to take over.
func (c *conn) stray() {
	c.calm = 0
	if c.strays < 1<<8-1 {
		c.strays++
	}
}

// ridden notes an exchange that was served on the lane from its beginning to its end.
func (c *conn) ridden() {
	if c.calm++; c.calm >= calmMost {
		c.calm, c.strays = 1, 0
	}
}

// mayReturn reports whether a goroutine can leave the connection to its lane, after an
// exchange with which it went on.
func (c *conn) mayReturn(x *exchange) bool {
	r := x.route
	switch {
	case c.from.Loop == nil || c.s.noLanes:
		return false
	case x.ride.left || r == nil || !r.rides || !x.cached.wasHit() || x.acted.file.opened,
		x.req.HasBody() && !x.isShort() || x.req.Expect100,
		r.group != nil && !upstream.IsPlain(r.group):
		c.calm = 0
		return false
	}
	c.calm++
	return int(c.calm) >= min(calmEnough<<min(c.strays, 8), calmMost) && c.h.Buffered()+c.nc.Buffered() == 0
}
