package l7

import (
	"sync/atomic"
	"time"

	"weir/l4/loop"
)

// A client that went away while its backend is silent shows only when somebody
// looks. The sweeper looks after 200 ms of silence and then every 300 ms; that
// costs a busy connection two atomic stores per request and no system call. The
// same look finds those that are quiet, to be parked.
const (
	tick        = 50 * time.Millisecond
	firstLook   = 4  // ticks of silence before the first look
	nextLook    = 6  // ticks between later looks
	drainedIdle = 20 // ticks that a connection may stay idle in a drain
	restAfter   = 20 // ticks without an awake connection before the sweeper rests
)

// sweeper is the goroutine that looks at all connections that are not parked. Where
// there are none it rests, so that an idle process is not woken 20 times a second.
type sweeper struct {
	s       *Server
	clock   atomic.Uint32 // ticks since the start; 0: it rests, see now
	began   time.Time
	rested  atomic.Int64  // while it rests: when the clock would have been at 0, in time since began
	drained atomic.Uint32 // tick at which the drain began; 0: no drain
	shed    atomic.Bool   // idle connections are to be ended at the next look
	wake    chan struct{} // holds one value where the rest is to end
	load    load          // for the governor of compression
	quit    chan struct{}
	done    chan struct{}
}

func (w *sweeper) start(s *Server) {
	w.s, w.began = s, time.Now()
	w.clock.Store(1)
	w.wake = make(chan struct{}, 1)
	w.quit, w.done = make(chan struct{}), make(chan struct{})
	go w.run()
}

func (w *sweeper) stop() {
	select {
	case <-w.quit:
	default:
		close(w.quit)
	}
	<-w.done
}

// now is the present tick, never 0. It has a bit less than its type, see asked, and
// wraps after three years. While the sweeper rests it is calculated: what the
// connections of a busy process ask for is a load.
func (w *sweeper) now() uint32 {
	t := w.clock.Load()
	if t == 0 {
		t = uint32((time.Since(w.began) - time.Duration(w.rested.Load())) / tick)
	}
	return max(t&^asked, 1)
}

// ago is how many ticks have passed since one. Where a rest ends, two that ask for the
// present tick at the same time may get one and the next: what is not yet has not passed.
func (w *sweeper) ago(since uint32) uint32 {
	passed := (w.now() - since) &^ asked
	if passed > asked/2 {
		return 0
	}
	return passed
}

func (w *sweeper) drain() { w.drained.Store(w.now()) }

func (w *sweeper) run() {
	defer close(w.done)
	t := time.NewTicker(tick)
	defer t.Stop()
	for idle := 0; ; {
		select {
		case <-w.quit:
			return
		case <-t.C:
		}
		w.clock.Store(w.now() + 1)
		w.govern()
		w.sweep()
		if w.s.awake.count() > 0 {
			idle = 0
		} else if idle++; idle >= restAfter {
			t.Stop()
			w.s.governor.Rest()
			w.load = load{}
			w.rest()
			t.Reset(tick)
			idle = 0
		}
	}
}

// rest waits until there is something to look at. Whoever brings that notes it first
// and then looks at the clock; here it is the other way round.
func (w *sweeper) rest() {
	w.rested.Store(int64(time.Since(w.began) - time.Duration(w.now())*tick))
	w.clock.Store(0)
	if w.s.awake.count() == 0 && !w.shed.Load() {
		select {
		case <-w.wake:
		case <-w.quit:
		}
	}
	w.clock.Store(w.now())
}

// rouse ends the rest. It is called after there is something to look at.
func (w *sweeper) rouse() {
	if w.clock.Load() != 0 {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default: // it is told already
	}
}

// sweep looks at every connection once.
func (w *sweeper) sweep() {
	defer func() {
		if p := recover(); p != nil {
			w.s.panicked("sweeper", p)
		}
	}()
	listeners := w.s.snapshot.Load().listeners
	drained := w.drained.Load()
	shed := w.shed.Swap(false)
	if shed {
		w.s.limitParked(leaveIfQuiet)
		w.s.eachLane((*lane).shed)
	}
	w.s.awake.each(func(c *conn) {
		if since := c.waiting.Load(); since != 0 && isLookDue(w.ago(since)) {
			w.look(c)
		}
		switch {
		case shed:
			w.endIdle(c, w.now()-1, 1)
		case drained != 0 || listeners[c.name] == nil:
			w.endIdle(c, drained, drainedIdle)
		}
		w.yield(c)
	})
}

func isLookDue(silence uint32) bool {
	return silence >= firstLook && (silence-firstLook)%nextLook == 0
}

// look cancels the exchange of a client that is gone. A FIN alone is no sign: a
// client may close its direction and still wait for the answer, unless the
// listener's routes say otherwise, or TLS was cut off without a word.
func (w *sweeper) look(c *conn) {
	if c.isLeft() {
		c.cancel()
	}
}

// isLeft reports whether the client is gone, of which look and a lane tell the exchange.
func (c *conn) isLeft() bool {
	switch c.nc.PeerState() {
	case loop.PeerReset:
		return true
	case loop.PeerFin:
		return c.finCancels.Load() || c.tls != nil && c.tls.isCut()
	case loop.PeerOpen:
	}
	return false
}

// endIdle ends a connection that has been idle for some ticks, of which only those
// after the one given count. Closing at once would hit requests that are on their way.
func (w *sweeper) endIdle(c *conn, after, ticks uint32) {
	since := c.idle.Load()
	if began := since &^ asked; began == 0 || w.ago(max(began, after)) < ticks {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle.CompareAndSwap(since, since|asked) {
		c.h.Interrupt()
	}
}
