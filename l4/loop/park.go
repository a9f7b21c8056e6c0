package loop

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Parker owns a connection that is parked: a loop waits for its next octet, and nothing
// else is kept for it. The methods are called on that loop and must not block. Before
// either is called the connection is parked no more, and no loop watches it.
type Parker interface {
	// Resume is called when there are octets to read.
	Resume()
	// Leave is called when the connection is to be closed: the peer ended it, its time
	// ran out, [Loop.ScanParked] said so, or the loop ends.
	Leave()
}

// Parking is the place of one parked connection, to be embedded in what owns it. The
// zero value is a free place. It must not move while it is taken, and belongs to the
// loop that took it.
type Parking struct {
	owner      Parker // nil: free
	loop       *Loop
	fd         int
	since      time.Duration // of the loop's time
	timer      Timer
	next, prev *Parking
}

// parked are the connections parked on a loop, the latest first.
type parked struct {
	first *Parking
	scans []*parkedScan // that walk the list
}

// Park waits for fd, an open non-blocking socket that no loop watches, to become
// readable, and tells owner; also when d has passed before. fd stays the owner's, who
// must not close it while it is parked. On an error nothing has changed. It is called
// on the loop.
func (l *Loop) Park(p *Parking, fd int, d time.Duration, owner Parker) error {
	if p.owner != nil {
		panic(fmt.Sprintf("BUG: descriptor %d is parked already", p.fd))
	}
	l.set(fd, p)
	// Level-triggered: octets that are there already are reported too.
	if err := l.p.watchPeer(fd); err != nil {
		l.table[fd] = nil
		return fmt.Errorf("cannot park connection: %w", err)
	}
	l.stats.Watched.Add(1)
	l.stats.Parked.Add(1)
	p.owner, p.loop, p.fd, p.since = owner, l, fd, l.now
	if p.next = l.parked.first; p.next != nil {
		p.next.prev = p
	}
	l.parked.first = p
	l.Arm(&p.timer, d, p)
	return nil
}

// free takes the connection off the loop and returns its owner.
func (p *Parking) free() Parker {
	l := p.loop
	l.Disarm(&p.timer)
	for _, sc := range l.parked.scans {
		if sc.at == p {
			sc.at = p.next
		}
	}
	if p.next != nil {
		p.next.prev = p.prev
	}
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		l.parked.first = p.next
	}
	l.stats.Parked.Add(-1)
	l.Release(p.fd)
	owner := p.owner
	*p = Parking{}
	return owner
}

// Ready implements [Handler]. A connection that has ended needs nobody to read it.
func (p *Parking) Ready(fd int, _ Events) {
	var b [1]byte
	switch n, errno := Peek(fd, b[:]); {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		// The event was meant for an earlier descriptor of the number, or comes again.
	case errno == 0 && n > 0:
		p.hand(Parker.Resume)
	default:
		p.hand(Parker.Leave)
	}
}

// Expire implements [Expirer].
func (p *Parking) Expire(*Timer) { p.hand(Parker.Leave) }

// Abort implements [Aborter].
func (p *Parking) Abort() {
	if p.owner != nil {
		p.free().Leave()
	}
}

// hand gives the connection back to its owner, and to nobody twice: where the owner
// panics, its connection is what is lost.
func (p *Parking) hand(tell func(Parker)) {
	l := p.loop
	owner := p.free()
	defer l.Recovered(leaver{owner})
	tell(owner)
}

// leaver ends a connection whose owner panicked.
type leaver struct{ owner Parker }

// Abort implements [Aborter].
func (x leaver) Abort() { x.owner.Leave() }

// ScanParked shows each connection that is parked now to visit, which says how much
// longer it may stay at most: zero or less ends it at once, [Stay] changes nothing.
// quiet is how long it has been parked. It goes in steps between which the loop serves
// its connections, and calls done, which may be nil, at the end. It may be called from
// any goroutine and does not wait; visit and done are called on the loop. It reports
// false, and calls neither, when the loop has ended: then nothing is parked there.
func (l *Loop) ScanParked(visit func(p Parker, quiet time.Duration) time.Duration, done func()) bool {
	if done == nil {
		done = func() {}
	}
	return l.Do(func() {
		sc := &parkedScan{loop: l, at: l.parked.first, visit: visit, done: done}
		l.parked.scans = append(l.parked.scans, sc)
		sc.step()
	})
}

// Stay is what a visit of [Loop.ScanParked] answers for a connection it has no wish for.
const Stay time.Duration = 1<<63 - 1

const (
	// scanStep is how many parked connections are looked at in one step.
	scanStep = 512
	// leaveCost is what ending one counts for beside a look: a descriptor to close.
	leaveCost = 8
)

// parkedScan is one walk through the parked connections.
type parkedScan struct {
	loop  *Loop
	at    *Parking // the next; free moves it on
	visit func(Parker, time.Duration) time.Duration
	done  func()
}

func (sc *parkedScan) step() {
	defer sc.loop.Recovered(sc)
	for budget := scanStep; budget > 0; budget-- {
		p := sc.at
		if p == nil {
			sc.end()
			return
		}
		sc.at = p.next
		left := sc.visit(p.owner, sc.loop.now-p.since)
		switch {
		case left <= 0:
			p.hand(Parker.Leave)
			budget -= leaveCost
		case left < p.remaining():
			sc.loop.Arm(&p.timer, left, p)
		}
	}
	if !sc.loop.Do(sc.step) {
		sc.end()
	}
}

// remaining is how long the connection may stay as it is.
func (p *Parking) remaining() time.Duration { return time.Duration(p.timer.at)*tick - p.loop.now }

// Abort implements [Aborter]: whoever waits for the end must not wait for ever.
func (sc *parkedScan) Abort() { sc.end() }

func (sc *parkedScan) end() {
	scans := sc.loop.parked.scans
	for i, other := range scans {
		if other == sc {
			last := len(scans) - 1
			scans[i], scans[last] = scans[last], nil
			sc.loop.parked.scans = scans[:last]
			sc.done()
			return
		}
	}
}

// evict ends all that is parked, because the loop ends.
func (l *Loop) evict() {
	for l.parked.first != nil {
		l.parked.first.Expire(nil)
	}
}
