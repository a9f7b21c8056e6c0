package load

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// An h2Member keeps one HTTP/2 connection busy for as long as the run lasts. In a
// closed loop each of its streams is followed by the next at once. In an open loop
// its share of the schedule says when a stream begins: a goroutine of its own
// wakes for that, and where all streams are taken the first that ends makes room.
type h2Member struct {
	crew  *crew
	index int

	mu    sync.Mutex // also for what an h2Conn says is guarded by it
	sched schedule   // guarded by mu
	blame blame      // guarded by mu
	conn  *h2Conn    // guarded by mu; nil while there is none
	spent bool       // guarded by mu; the budget of requests is used up
	freed chan struct{}
}

// driveH2 is member i of a crew that speaks HTTP/2.
func (c *crew) driveH2(i int) {
	m := &h2Member{crew: c, index: i, freed: make(chan struct{}, 1)}
	if c.plan.Rate > 0 {
		m.sched = newSchedule(c.plan.Rate, c.plan.Poisson, c.plan.Seed, i, c.plan.Conns)
	}
	h := m.connect()
	c.settle()
	if !c.wait(c.started) {
		h.close()
		return
	}
	var helpers sync.WaitGroup
	helpers.Go(func() {
		defer c.recovered()
		m.watch()
	})
	if c.plan.Rate > 0 {
		helpers.Go(func() {
			defer c.recovered()
			m.pace()
		})
	}
	for {
		if h != nil {
			m.use(h)
		}
		if m.over() {
			break
		}
		h = m.connect()
	}
	helpers.Wait()
	if c.plan.Rate > 0 && !m.spent {
		c.dropBacklog(&m.sched)
	}
}

// over reports that no request will begin any more. The end of a run in an open
// loop is when the last request that was due has begun, or the grace has ended.
func (m *h2Member) over() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.overLocked(m.crew.now())
}

func (m *h2Member) overLocked(now time.Duration) bool {
	end := m.crew.plan.Warmup + m.crew.plan.Duration
	if m.spent || m.crew.ctx.Err() != nil {
		return true
	}
	if m.crew.plan.Rate > 0 {
		return m.sched.due >= end
	}
	return now >= end
}

// connect makes a connection; nil where that failed, which counts.
func (m *h2Member) connect() *h2Conn {
	c := m.crew
	t, f, err := c.dialRaw()
	if err == nil {
		var h *h2Conn
		if h, err = newH2Conn(m, t); err == nil {
			return h
		}
		t.close()
		f = failConnect
	}
	if c.ctx.Err() == nil {
		c.mu.Lock()
		c.rec.failed[f]++
		c.rec.explain(err)
		c.mu.Unlock()
		c.pause(redialAfter)
	}
	return nil
}

// use runs h until it is of no more use. Streams that are left then have failed.
func (m *h2Member) use(h *h2Conn) {
	m.mu.Lock()
	m.conn = h
	err := h.fill()
	m.mu.Unlock()
	if err == nil {
		err = h.serve()
	}
	h.close()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conn = nil
	f := failureOf(err)
	switch {
	case m.crew.ctx.Err() != nil:
		f, err = failUnfinished, nil
	case h.late:
		f, err = failTimeout, errTimeout
	case f == failNone:
		f = failClosed
	}
	for _, s := range h.streams {
		m.record(s, f, err)
	}
	m.wake()
}

// record notes the end of a stream.
func (m *h2Member) record(s *h2Stream, f failure, err error) {
	c := m.crew
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec.done(s.due, now, f)
	if f != failNone && err != nil {
		c.rec.explain(err)
	}
}

// pace begins the streams that are due.
func (m *h2Member) pace() {
	alarm, err := newAlarm(m.crew.ctx)
	if err != nil {
		panic(err)
	}
	defer alarm.close()
	for {
		m.mu.Lock()
		full := m.conn == nil || m.conn.room() <= 0
		if !full {
			err = m.conn.fill()
			full = err != nil || m.conn.room() <= 0
		}
		now := m.crew.now()
		due, over := m.sched.due, m.overLocked(now)
		m.endIfIdle()
		m.mu.Unlock()
		switch {
		case over:
			return
		case full && !m.crew.wait(m.freed), !full && !alarm.wait(due-now):
			return
		}
	}
}

// endIfIdle, called with mu held, closes the connection that is not needed any
// more, which ends use.
func (m *h2Member) endIfIdle() {
	if h := m.conn; h != nil && len(h.streams) == 0 && m.overLocked(m.crew.now()) {
		h.ended = true
		_ = h.raw.conn.Close() // its reader finds out
	}
}

// wake tells pace that there may be room for a stream, or a connection.
func (m *h2Member) wake() {
	select {
	case m.freed <- struct{}{}:
	default:
	}
}

// watch ends a connection with a request that takes too long, and an idle one at
// the end of the run.
func (m *h2Member) watch() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-m.crew.ctx.Done():
			return
		case <-t.C:
		}
		m.mu.Lock()
		over := m.overLocked(m.crew.now())
		h := m.conn
		m.endIfIdle()
		if h != nil && h.overdue() {
			h.late = true
			_ = h.raw.conn.Close()
		}
		m.mu.Unlock()
		m.wake()
		if over && h == nil {
			return
		}
	}
}

// errGoAway ends a connection that the server has done with.
var errGoAway = errors.New("the server said goodbye (GOAWAY)")

// dialRaw connects without a session on top.
func (c *crew) dialRaw() (*tracked, failure, error) {
	conn, f, err := c.dialConn()
	if err != nil {
		return nil, f, fmt.Errorf("cannot connect: %w", err)
	}
	return &tracked{conn: conn, crew: c}, failNone, nil
}
