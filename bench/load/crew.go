package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A session is one connection driven by a goroutine. Its methods block.
type session interface {
	// do performs one request. usable is false when the connection is of no use
	// any more.
	do() (f failure, usable bool, err error)
	close()
}

// A crew drives connections by a goroutine each: TLS, HTTP/2 and the protocols
// with a conversation of their own, where the protocol costs more than the
// goroutine does.
type crew struct {
	plan  *Plan
	job   *job
	epoch time.Time // set before started is closed

	ctx      context.Context // ends the run at once
	cancel   context.CancelFunc
	over     chan struct{} // closed when the budget of requests is used up
	overOnce sync.Once
	budget   atomic.Int64
	started  chan struct{}
	tickets  chan time.Duration // the due times of an open loop; unbuffered

	mu     sync.Mutex
	rec    *recorder             // guarded by mu
	blame  blame                 // guarded by mu
	conns  map[net.Conn]struct{} // guarded by mu; nil when the run is over
	unmade int                   // guarded by mu; connections that have not been tried
	ready  chan struct{}         // closed when unmade is 0

	members sync.WaitGroup
	done    chan struct{}
}

func newCrew(p *Plan, j *job) *crew {
	c := &crew{
		plan: p, job: j, rec: newRecorder(p), conns: map[net.Conn]struct{}{}, unmade: p.Conns,
		over: make(chan struct{}), started: make(chan struct{}), tickets: make(chan time.Duration),
		ready: make(chan struct{}), done: make(chan struct{}),
	}
	c.budget.Store(share(p.Requests, 0, 1))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// open starts the members; ready tells when each has tried to connect.
func (c *crew) open() {
	for i := range c.plan.Conns {
		c.members.Go(func() {
			defer c.recovered()
			if c.plan.Kind == HTTP2 {
				c.driveH2(i)
			} else {
				c.drive(i)
			}
		})
	}
	go func() {
		c.members.Wait()
		c.cancel()
		close(c.done)
	}()
}

func (c *crew) start(epoch time.Time) {
	c.epoch = epoch
	if c.plan.Rate > 0 && c.plan.Kind != HTTP2 {
		c.members.Go(func() {
			defer c.recovered()
			c.pace()
		})
	}
	close(c.started)
}

// stop ends the run at once.
func (c *crew) stop() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		return // the figures are somebody else's now
	default:
	}
	c.rec.to = min(c.rec.to, c.sinceStart())
	for conn := range c.conns {
		_ = conn.Close() // its member finds out
	}
	c.conns = nil
}

// close waits for the members, after stop.
func (c *crew) close() { <-c.done }

func (c *crew) now() time.Duration { return time.Since(c.epoch) }

func (c *crew) sinceStart() time.Duration {
	select {
	case <-c.started:
		return c.now()
	default:
		return 0
	}
}

// recovered is deferred by each goroutine of the crew: a bug is reported as the
// error that it is, and does not take the report with it.
func (c *crew) recovered() {
	if v := recover(); v != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.rec.failed[failLocal]++
		c.rec.explain(fmt.Errorf("BUG: panic in the generator: %v", v))
	}
}

// settle notes that a member has connected or failed to.
func (c *crew) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unmade--; c.unmade == 0 {
		close(c.ready)
	}
}

// drive is one member: a connection and the requests on it, one after another.
func (c *crew) drive(i int) {
	var s *tracked
	defer func() { s.close() }()
	if !c.plan.Reconnect {
		s = c.connect(i)
	}
	c.settle()
	if !c.wait(c.started) {
		return
	}
	for {
		free := c.now()
		due, ok := c.next(free)
		if !ok {
			return
		}
		s = c.perform(i, s, due, free)
		if s == nil && !c.plan.Reconnect {
			s = c.connect(i)
		}
	}
}

// next waits for the member's next request: at once in a closed loop, as soon as
// one is due in an open one.
func (c *crew) next(free time.Duration) (due time.Duration, ok bool) {
	if c.plan.Rate == 0 {
		if free >= c.plan.Warmup+c.plan.Duration || c.ctx.Err() != nil {
			return 0, false
		}
		return free, c.spend(free)
	}
	select {
	case due, ok = <-c.tickets:
		return due, ok
	case <-c.over:
		return 0, false
	case <-c.ctx.Done():
		return 0, false
	}
}

// spend takes a request that is due at due out of the budget.
func (c *crew) spend(due time.Duration) bool {
	if due < c.plan.Warmup || c.budget.Add(-1) >= 0 {
		return true
	}
	c.overOnce.Do(func() { close(c.over) })
	return false
}

// perform does one request and returns the connection, nil where it is gone.
func (c *crew) perform(i int, s *tracked, due, free time.Duration) *tracked {
	now := c.now()
	late := c.late(due, free, now)
	var f failure
	var err error
	usable := false
	if s == nil {
		s, f, err = c.dial(i)
	}
	if s != nil {
		_ = s.conn.SetDeadline(time.Now().Add(c.plan.Timeout)) // a closed connection says so in do
		f, usable, err = s.session.do()
	}
	end := c.now()
	if f != failNone && c.ctx.Err() != nil {
		f, err = failUnfinished, nil
	}
	c.mu.Lock()
	c.rec.sent(due, late)
	c.rec.done(due, end, f)
	if err != nil {
		c.rec.explain(err)
	}
	if s != nil {
		c.rec.received(end, s.conn.takeIn())
		c.rec.wrote(end, s.conn.takeOut())
	}
	c.mu.Unlock()
	if usable && !c.plan.Reconnect {
		return s
	}
	s.close()
	if f == failConnect || f == failLocal {
		c.pause(redialAfter)
	}
	return nil
}

// late is how late the generator is with a request, -1 in a closed loop.
func (c *crew) late(due, free, now time.Duration) time.Duration {
	if c.plan.Rate == 0 {
		return -1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blame.late(due, free, now)
}

// connect makes the member's connection; nil where that failed, which counts.
func (c *crew) connect(i int) *tracked {
	s, f, err := c.dial(i)
	if s != nil || c.ctx.Err() != nil {
		return s
	}
	c.mu.Lock()
	c.rec.failed[f]++
	c.rec.explain(err)
	c.mu.Unlock()
	c.pause(redialAfter)
	return nil
}

// dial connects and brings the protocol to where a request can be made.
func (c *crew) dial(i int) (*tracked, failure, error) {
	conn, f, err := c.dialConn()
	if err != nil {
		return nil, f, err
	}
	t := &tracked{conn: conn, crew: c}
	_ = conn.SetDeadline(time.Now().Add(c.plan.Timeout)) // a closed connection says so next
	if t.session, err = c.job.newSession(t.conn, i); err != nil {
		t.close()
		return nil, failConnect, err
	}
	return t, failNone, nil
}

// dialConn connects, and has the connection closed when the run ends.
func (c *crew) dialConn() (*countedConn, failure, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.plan.Timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, c.job.network, c.job.address)
	if err != nil {
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			return nil, connectFailure(errno), err
		}
		return nil, failConnect, err
	}
	if !c.track(conn) {
		_ = conn.Close()
		return nil, failUnfinished, context.Canceled
	}
	return &countedConn{Conn: conn}, failNone, nil
}

func (c *crew) track(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns == nil {
		return false
	}
	c.conns[conn] = struct{}{}
	c.rec.opened++
	return true
}

// pace hands out the requests of an open loop. A member that is free takes one
// when it is due; while none is, the due times go by, which is what makes the
// members that take them late in the figures.
func (c *crew) pace() {
	defer close(c.tickets)
	alarm, err := newAlarm(c.ctx)
	if err != nil {
		panic(err)
	}
	defer alarm.close()
	sched := newSchedule(c.plan.Rate, c.plan.Poisson, c.plan.Seed, 0, 1)
	end := c.plan.Warmup + c.plan.Duration
	for sched.due < end && c.spend(sched.due) {
		if !alarm.wait(sched.due - c.now()) {
			break
		}
		select {
		case c.tickets <- sched.due:
			sched.take()
			continue
		case <-c.ctx.Done():
		}
		break
	}
	if c.budget.Load() >= 0 {
		c.dropBacklog(&sched)
	}
}

// dropBacklog counts what was due and never sent.
func (c *crew) dropBacklog(sched *schedule) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for range maxBacklog {
		if sched.due >= min(c.rec.to, now) {
			return
		}
		due := sched.take()
		if c.rec.within(due) {
			c.rec.began++
		}
		c.rec.done(due, now, failUnfinished)
	}
}

func (c *crew) wait(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	case <-c.ctx.Done():
		return false
	}
}

func (c *crew) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
	}
}

// tracked is a session with its connection, known to the crew that closes it when
// the run ends. A nil one is no connection.
type tracked struct {
	session session
	conn    *countedConn
	crew    *crew
}

func (t *tracked) close() {
	if t == nil {
		return
	}
	if t.session != nil {
		t.session.close()
	}
	_ = t.conn.Close()
	t.crew.mu.Lock()
	defer t.crew.mu.Unlock()
	delete(t.crew.conns, t.conn.Conn)
}

// countedConn counts the bytes of a connection. One goroutine reads; one, which
// may be another, writes.
type countedConn struct {
	net.Conn
	in, out atomic.Int64
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.Add(int64(n))
	return n, err
}

func (c *countedConn) takeIn() int64  { return c.in.Swap(0) }
func (c *countedConn) takeOut() int64 { return c.out.Swap(0) }

// failureOf sorts an error of a connection.
func failureOf(err error) failure {
	wrong, ok := errors.AsType[*wrongAnswer](err)
	switch {
	case err == nil:
		return failNone
	case ok:
		return wrong.failure
	case errors.Is(err, os.ErrDeadlineExceeded):
		return failTimeout
	}
	return failClosed
}

// wrongAnswer is an answer that came and is not right.
type wrongAnswer struct {
	failure failure
	what    string
}

func (w *wrongAnswer) Error() string { return w.what }

func wrong(f failure, format string, args ...any) error {
	return &wrongAnswer{f, fmt.Sprintf(format, args...)}
}
