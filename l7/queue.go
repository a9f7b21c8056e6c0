package l7

import (
	"errors"
	"time"

	"weir/pool/backend"
)

// What ends the waiting in the queue of a pool without a member.
var (
	errQueueTimeout = errors.New("no server of the pool was below its max_conns in time")
	errQueueLeft    = errors.New("the client left while it waited in the queue of the pool")
)

// place is an exchange's place in the queue of a pool. Its memory is made when the
// connection first waits, and used again.
type place struct {
	waiter backend.Waiter
	awake  chan struct{} // holds one: a member, an error, or the client is gone
	wake   func()        // sends to awake
}

// pick chooses a member. Where all are at their max_conns it waits in the queue of the
// pool, behind those who came before, at most queue_timeout.
func (x *exchange) pick() (*backend.Member, error) {
	g := x.route.group
	m, err := g.Pick(&x.query)
	if err != backend.ErrFull || g.Conf().Queue == 0 {
		return m, err
	}
	return x.pickInTurn()
}

// pickInTurn waits in the queue of the pool.
func (x *exchange) pickInTurn() (*backend.Member, error) {
	began := time.Now()
	m, err := x.queue()
	waited := time.Since(began)
	x.stages.Queue += waited
	x.connectBy = x.connectBy.Add(waited)
	return m, err
}

// queue waits for a member. The sweeper looks after the client meanwhile.
func (x *exchange) queue() (*backend.Member, error) {
	g, p := x.route.group, &x.place
	if p.awake == nil {
		p.awake = make(chan struct{}, 1)
		p.wake = func() {
			select {
			case p.awake <- struct{}{}:
			default: // it is awake already
			}
		}
	}
	patience := g.QueueTimeout()
	if left := x.timeLeft(); left > 0 {
		patience = min(patience, left)
	}
	p.waiter = backend.Waiter{Wake: p.wake}
	if err := g.Enqueue(&p.waiter, &x.query); err != nil {
		return nil, err
	}
	x.c.onGone(p.wake)
	x.c.await()
	timer := time.NewTimer(patience)
	select {
	case <-p.awake:
	case <-timer.C:
	}
	timer.Stop()
	x.c.awaited()
	x.c.onGone(nil)
	m, err := p.waiter.Leave()
	select { // nobody sends any more: what is there would wake the next wait
	case <-p.awake:
	default:
	}
	switch {
	case x.c.isGone():
		if m != nil {
			m.Done()
		}
		return nil, errQueueLeft
	case m == nil && err == nil:
		return nil, errQueueTimeout
	}
	return m, err
}

// onGone says what to call when the client is found to be gone, at once where it is
// already; nil: nothing any more. f must not block.
func (c *conn) onGone(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell = f
	if f != nil && c.gone {
		f()
	}
}
