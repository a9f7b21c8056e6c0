package l7

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"weir/l4/loop"
	"weir/l7/message"
	"weir/l7/upstream"
	"weir/pool/backend"
)

// hedge is a second try of a request that the first server is slow to answer. The one
// from which the first byte of a response comes serves the client; the other is
// dropped. The exchange's goroutine goes on waiting for the first one, a goroutine of
// the hedge asks the second:
//
//	racing -> first:  the exchange goes on as if nothing had been; the hedge cleans up after itself
//	racing -> second: the hedge has ended, and the exchange takes over its member and connection
//	racing -> failed: the hedge has cleaned up, and the first one is waited for
type hedge struct {
	s      *Server
	member *backend.Member
	rival  *upstream.Conn // to be interrupted when the second wins
	how    upstream.How
	head   []byte // of the request, a copy: the exchange may end before
	wait   time.Duration

	state atomic.Int32
	done  chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex
	conn   *upstream.Conn // guarded by mu until done
	called bool           // off; guarded by mu
}

// The states of a hedge.
const (
	racing int32 = iota
	wonByFirst
	wonBySecond
	failedSecond
)

// leastHedge keeps hedges from being sent at once where answers take microseconds.
const leastHedge = time.Millisecond

// answer reads the head of the response to a request that sendBody sent, or tried to.
func (x *exchange) answer(err error) error {
	a := &x.route.again
	if a.hedge == 0 || err != nil {
		if err == nil || isUpstream(err) {
			// A backend that closed while the body was on its way may have answered early.
			if errRead := x.readHead(); errRead == nil || err == nil || errRead == loop.ErrAgain {
				err = errRead
			}
		}
		return err
	}
	began := time.Now()
	if err := x.race(); err != nil {
		return err
	}
	if err := x.readHead(); err != nil {
		return err
	}
	x.route.latency.Observe(time.Since(began))
	return nil
}

// race waits for the first byte of a response, of a second server too if it takes long.
func (x *exchange) race() error {
	after, known := x.route.latency.Quantile(x.route.again.hedge)
	limit := x.headTimeout()
	after = max(after, leastHedge)
	if !known || after >= limit || x.req.HasBody() || x.req.WebSocket || !x.mayRepeat() {
		return nil
	}
	x.c.await()
	defer x.c.awaited()
	if ready, err := x.up.AwaitHead(after); ready || err != nil {
		return err
	}
	left := limit - after
	h := x.startHedge(left)
	if h == nil {
		x.up.SetTimeouts(upstream.Timeouts{Head: left, Body: x.route.conf.ReadTimeout})
		return nil
	}
	ready, err := x.up.AwaitHead(left)
	switch {
	case err != nil:
		return x.secondOr(h, err)
	case ready && h.state.CompareAndSwap(racing, wonByFirst):
		h.callOff()
		return nil
	case ready && h.state.Load() == failedSecond:
		return nil
	case h.state.Load() == wonBySecond:
		x.adopt(h)
		return nil
	}
	h.state.CompareAndSwap(racing, wonByFirst)
	if h.state.Load() == wonBySecond { // in the last moment
		x.adopt(h)
		return nil
	}
	h.callOff()
	return &upstream.Error{
		Side: message.Upstream, Stage: upstream.StageHead, Backend: x.member.Name(), Timeout: true,
		Sent: true, Err: os.ErrDeadlineExceeded,
	}
}

// startHedge asks a second server, nil where there is none or the budget is gone.
func (x *exchange) startHedge(wait time.Duration) *hedge {
	m, err := x.route.group.Pick(&x.query)
	if err != nil {
		return nil
	}
	if !x.spend() {
		m.Done()
		return nil
	}
	x.countRetry()
	h := &hedge{
		s: x.s, member: m, rival: x.up, how: x.how(m, false), wait: wait, done: make(chan struct{}),
		head: x.appendRequestHead(make([]byte, 0, x.headSize())),
	}
	x.route.hedges.Inc()
	x.s.hedges.Go(h.run)
	return h
}

// secondOr takes over the second server's answer, if there comes one, after the first
// failed with err.
func (x *exchange) secondOr(h *hedge, err error) error {
	gone := make(chan struct{}, 1)
	x.c.onGone(func() {
		select {
		case gone <- struct{}{}:
		default:
		}
	})
	select {
	case <-h.done:
	case <-gone:
	}
	x.c.onGone(nil)
	if !h.state.CompareAndSwap(racing, wonByFirst) && h.state.Load() == wonBySecond {
		x.report(err)
		x.adopt(h)
		return nil
	}
	h.callOff()
	return err
}

// adopt goes on with the second server, which has begun to answer.
func (x *exchange) adopt(h *hedge) {
	<-h.done
	_ = x.dropConn() // there is no body
	x.giveBack()
	x.take(h.member)
	x.attach(h.conn)
	x.up.SetTimeouts(upstream.Timeouts{Head: h.wait, Body: x.route.conf.ReadTimeout})
	x.route.hedgesWon.Inc()
}

// run is the goroutine of a hedge.
func (h *hedge) run() {
	defer close(h.done)
	won := false
	defer func() {
		if p := recover(); p != nil {
			h.s.panicked("hedge", p)
		}
		if !won {
			h.state.CompareAndSwap(racing, failedSecond)
			h.drop()
		}
	}()
	if h.ask() && h.state.CompareAndSwap(racing, wonBySecond) {
		won = true
		h.rival.Interrupt() // it is not released before done
	}
}

// ask sends the request and waits for the first byte of a response.
func (h *hedge) ask() bool {
	up, _, err := h.s.transport.GetBy(h.member, h.how)
	if err != nil {
		return false
	}
	h.mu.Lock()
	h.conn = up
	if h.called {
		up.Abort()
	}
	h.mu.Unlock()
	up.SetHead(append(up.Head(len(h.head)), h.head...), message.None, 0)
	ready := false
	if err = up.EndBody(nil); err == nil {
		ready, err = up.AwaitHead(h.wait)
	}
	switch {
	case err != nil: // one that was called off is nobody's fault, nor is one that was idle for too long
		h.member.Report(blame(err))
	case !ready:
		h.member.Report(backend.Timeout)
	}
	return ready
}

// drop gives everything back.
func (h *hedge) drop() {
	h.mu.Lock()
	up := h.conn
	h.conn = nil
	h.mu.Unlock()
	if up != nil {
		up.Release() // nothing was read wholly: it closes
	}
	h.member.Done()
}

// callOff ends a hedge that has not won. It does not wait.
func (h *hedge) callOff() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.called = true
	if h.conn != nil {
		h.conn.Abort()
	}
}
