package upstream

import (
	"sync"
	"time"
)

// deadline is the time that is set on one direction of a socket.
//
// Setting it costs a call into the runtime's timers, so it is set late on
// purpose, by up to 1/32 of the limit, and then left alone as long as it is
// neither too early nor too late. With a limit of a minute that is one call every
// two seconds instead of one per read. It also stays while the connection is
// idle: should it pass then, the next exchange moves it before it reads.
//
// On a Lane it costs nothing and is exact: there the tick of the loop comes on top.
type deadline struct{ at time.Time }

const slack = 32

// move returns the time to set for a limit d from now on (zero: none), and whether it has
// to be set at all.
func (l *deadline) move(c *Conn, d time.Duration) (at time.Time, set bool) {
	if d <= 0 {
		set = !l.at.IsZero()
		l.at = time.Time{}
		return l.at, set
	}
	late := d / slack
	if c.loop.nc != nil {
		late = 0
	}
	now := c.now()
	if left := l.at.Sub(now); !l.at.IsZero() && left >= d && left <= d+late {
		return l.at, false
	}
	l.at = now.Add(d + late)
	return l.at, true
}

// limits decides when the reader's time runs out. The two sides of an exchange
// meet here: the time for a response head starts when the request is sent.
type limits struct {
	mu       sync.Mutex
	read     deadline
	sent     bool // the request was sent wholly
	expected bool // ExpectHead was called for the next head
	waiting  bool // ReadHead is waiting

	interrupted bool // Interrupt was called
}

func (l *limits) begin() {
	l.mu.Lock()
	l.sent, l.expected, l.waiting, l.interrupted = false, false, false, false
	l.mu.Unlock()
}

func (l *limits) isSent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

// ExpectHead starts the time limit for the next response head now, although the
// body is not sent: for a request with "Expect: 100-continue" whose body waits
// for the backend's word.
func (c *Conn) ExpectHead() {
	l := &c.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expected = true
	if l.waiting {
		c.setRead(c.timeouts.Head)
	}
}

// ForgetHead takes ExpectHead back: the body has begun to come after all, and as
// long as the request is being sent there is no limit.
func (c *Conn) ForgetHead() {
	l := &c.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expected = false
	if l.waiting && !l.sent {
		c.setRead(0)
	}
}

// requestSent notes that the request was sent wholly.
func (c *Conn) requestSent() {
	l := &c.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = true
	if l.waiting {
		c.setRead(c.timeouts.Head)
	}
}

// waitHead sets the limit for a reader that waits for a head. As long as the
// request is being sent there is none: a slow client is not the backend's fault.
func (c *Conn) waitHead() {
	l := &c.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = true
	if l.sent || l.expected {
		c.setRead(c.timeouts.Head)
	} else {
		c.setRead(0)
	}
}

// haveHead notes that a head was read.
func (c *Conn) haveHead() {
	l := &c.limits
	l.mu.Lock()
	l.waiting, l.expected = false, false
	l.mu.Unlock()
}

// waitBody sets the limit for a reader that waits for a piece of the body.
func (c *Conn) waitBody() {
	c.limits.mu.Lock()
	c.setRead(c.timeouts.Body)
	c.limits.mu.Unlock()
}

// setRead moves the read deadline; limits.mu is held. A socket that was closed
// under us says so to the read that follows.
func (c *Conn) setRead(d time.Duration) {
	if at, set := c.limits.read.move(c, d); set {
		_ = c.nc.SetReadDeadline(at)
	}
}

// isExpired tells a read that ran out of time from one that met a deadline of the
// past, which the other goroutine was about to move, or that the runtime's timer
// ended a little early: those are to be tried again.
func (c *Conn) isExpired() bool {
	c.limits.mu.Lock()
	defer c.limits.mu.Unlock()
	at := c.limits.read.at
	if !at.IsZero() && !c.now().Before(at) {
		return true
	}
	_ = c.nc.SetReadDeadline(at) // see setRead
	return false
}
