package upstream

import (
	"sync"
	"time"
)

// deadline is a time limit that is moved on with each wait.
//
// To set one on a socket costs a call into the runtime's timers, so a limit is
// set late on purpose, by a sixteenth, and then left alone as long as it is
// neither too early nor too late. With a limit of a minute that is one call every
// four seconds instead of one per read. It also stays while the connection is
// idle: should it pass then, the next exchange moves it before it reads.
type deadline struct{ at time.Time }

const slack = 16

// move sets the deadline for a limit d (zero: none) and reports whether it
// changed.
func (l *deadline) move(d time.Duration) bool {
	if d <= 0 {
		changed := !l.at.IsZero()
		l.at = time.Time{}
		return changed
	}
	return l.moveBetween(time.Now(), d, d+d/slack)
}

// moveBetween leaves a deadline alone that lies between first and last from now,
// else sets it to last.
func (l *deadline) moveBetween(now time.Time, first, last time.Duration) bool {
	if left := l.at.Sub(now); !l.at.IsZero() && left >= first && left <= last {
		return false
	}
	l.at = now.Add(last)
	return true
}

// How long a backend is silent before the check of OnSilence, at least and at
// most, and how often it is repeated.
const (
	firstSilence = 200 * time.Millisecond
	lastSilence  = 2 * firstSilence
	moreSilence  = 300 * time.Millisecond
)

// limits decides when the reader's time runs out. The two sides of an exchange
// meet here: the time for a response head starts when the request is sent.
type limits struct {
	mu       sync.Mutex
	until    deadline  // when the time runs out
	socket   time.Time // what is set on the socket: until, or earlier for a check
	sent     bool      // the request was sent wholly
	expected bool      // ExpectHead was called for the next head
	waiting  bool      // ReadHead is waiting
}

func (l *limits) begin() {
	l.mu.Lock()
	l.sent, l.expected, l.waiting = false, false, false
	l.mu.Unlock()
}

func (l *limits) isSent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

// OnSilence sets what is called while ReadHead or ReadBody waits: after the
// backend has been silent for 200 to 400 ms, then every 300 ms. When check
// returns false the exchange is aborted, as by Abort. It is for seeing whether
// the client is still there, without a goroutine for it and at no cost for
// exchanges that are quick. check runs on the reading goroutine and must not
// block. It holds for this exchange and is set before the first ReadHead.
func (c *Conn) OnSilence(check func() bool) { c.check = check }

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

// setRead moves the limit of the reader to d; limits.mu is held.
func (c *Conn) setRead(d time.Duration) {
	l := &c.limits
	l.until.move(d)
	if c.check == nil {
		c.setSocket(l.until.at)
		return
	}
	at := deadline{l.socket}
	at.moveBetween(time.Now(), firstSilence, lastSilence)
	c.setSocket(l.earlier(at.at))
}

// earlier returns at, or the end of the reader's time if that comes first.
func (l *limits) earlier(at time.Time) time.Time {
	if !l.until.at.IsZero() && l.until.at.Before(at) {
		return l.until.at
	}
	return at
}

// setSocket sets the read deadline of the socket; limits.mu is held. A socket
// that was closed under us says so to the read that follows.
func (c *Conn) setSocket(at time.Time) {
	if !at.Equal(c.limits.socket) {
		c.limits.socket = at
		_ = c.nc.SetReadDeadline(at)
	}
}

// goOn decides after the read deadline of the socket passed. It returns false
// when the reader's time is over or the check aborted the exchange. Else the
// deadline was one for a check, or of the past and the other goroutine was about
// to move it: the reader tries again.
func (c *Conn) goOn() bool {
	l := &c.limits
	l.mu.Lock()
	now := time.Now()
	if !l.until.at.IsZero() && !now.Before(l.until.at) {
		l.mu.Unlock()
		return false
	}
	passed := !l.socket.IsZero() && !now.Before(l.socket)
	l.mu.Unlock()
	if !passed {
		return true
	}
	if c.check != nil && !c.check() {
		c.Abort()
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.check == nil {
		c.setSocket(l.until.at)
	} else {
		c.setSocket(l.earlier(time.Now().Add(moreSilence)))
	}
	return true
}
