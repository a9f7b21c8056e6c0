package load

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"weir/l4/loop"
)

const (
	// dialBurst bounds the connects of one loop that are under way before the run
	// begins: more would overflow the backlog of many a server.
	dialBurst = 128
	// sweepEvery is how often requests are checked against Plan.Timeout.
	sweepEvery = 50 * time.Millisecond
	// timerSlack is how late a timer of the loop may be when all is well.
	timerSlack = 20 * time.Millisecond
	// maxBacklog bounds how many requests that were never sent are recorded one by one.
	maxBacklog = 10_000_000
)

// A worker drives its share of the connections on one event loop. All its fields
// belong to the loop, but for the channels.
//
// In a closed loop a connection that is free sends at once. In an open loop it
// joins the free list; the first of the list sends when the next request is due.
type worker struct {
	plan  *Plan
	job   *job
	loop  *loop.Loop
	rec   *recorder
	sched schedule
	epoch time.Time

	conns    []conn
	free     ring
	blame    blame
	budget   int64 // requests of the window that may still begin, 0: the run is over
	inFlight int   // requests that were begun and not ended
	dialled  int   // connections that were dialled before the run began
	settled  int   // of those, how many were made or refused
	running  bool
	finished bool

	bin      []byte // takes bytes that nobody looks at
	pacer    pacer
	sweeping loop.Timer
	swept    time.Duration // when the last sweep was
	ending   loop.Timer

	ready chan struct{} // closed when each connection was made or refused
	done  chan struct{} // closed when the worker has finished
}

// newWorker makes worker i of n, with its loop, for conns connections.
func newWorker(p *Plan, j *job, i, n, conns int) (*worker, error) {
	l, err := loop.New(slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	w := &worker{
		plan: p, job: j, loop: l, rec: newRecorder(p), epoch: time.Now(),
		conns: make([]conn, conns), free: newRing(conns), budget: share(p.Requests, i, n),
		bin:   make([]byte, binSize(p)),
		ready: make(chan struct{}), done: make(chan struct{}),
	}
	if p.Rate > 0 {
		w.sched = newSchedule(p.Rate, p.Poisson, p.Seed, i, n)
	}
	for k := range w.conns {
		w.conns[k] = conn{w: w, fd: -1, wire: j.newWire()}
	}
	if w.pacer.fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot open timer: %w", err)
	}
	w.pacer.w = w
	return w, nil
}

// binSize is how much is taken out of a socket at once that nobody looks at. Where
// it is copied it is as much as iperf3 takes, which a CPU's cache holds.
func binSize(p *Plan) int {
	if p.Copy {
		return 2 * loop.ScratchSize
	}
	return 4 * loop.ScratchSize
}

// share is part i of total split n ways; no limit stays no limit.
func share(total int64, i, n int) int64 {
	if total == 0 {
		return 1<<63 - 1
	}
	part := total / int64(n)
	if int64(i) < total%int64(n) {
		part++
	}
	return part
}

// open makes the connections that the run begins with; ready tells when.
func (w *worker) open() {
	w.loop.Do(func() {
		if err := w.loop.Watch(w.pacer.fd, &w.pacer); err != nil {
			w.rec.explain(err)
		}
		w.loop.Arm(&w.sweeping, sweepEvery, sweeper{w})
		if w.plan.Reconnect || len(w.conns) == 0 {
			close(w.ready)
			return
		}
		for range min(dialBurst, len(w.conns)) {
			w.dialNext()
		}
	})
}

func (w *worker) dialNext() {
	if w.dialled < len(w.conns) {
		w.dialled++
		w.conns[w.dialled-1].dial()
	}
}

// settle notes that c's first connect succeeded or failed.
func (w *worker) settle(c *conn) {
	if c.settled || w.plan.Reconnect {
		return
	}
	c.settled = true
	if w.settled++; w.settled == len(w.conns) {
		close(w.ready)
	}
	w.dialNext()
}

// start begins to send; epoch is the beginning of the run.
func (w *worker) start(epoch time.Time) {
	w.loop.Do(func() {
		w.epoch, w.running = epoch, true
		w.swept = w.now()
		w.loop.Arm(&w.ending, w.rec.to, ender{w})
		for i := range w.conns {
			if c := &w.conns[i]; c.link == linkUp || w.plan.Reconnect {
				w.next(c, w.now())
			}
		}
	})
}

// stop ends the run at once, as if the plan had.
func (w *worker) stop() {
	w.loop.Do(func() {
		if !w.finished {
			w.rec.to = min(w.rec.to, w.now())
			w.finish()
		}
	})
}

// close ends the loop, after the worker has finished.
func (w *worker) close() {
	w.loop.Do(func() {
		w.finish()
		w.loop.CloseFD(w.pacer.fd)
	})
	w.loop.Close()
}

func (w *worker) now() time.Duration { return time.Since(w.epoch) }

// next gives a free connection its next request, now or when one is due.
func (w *worker) next(c *conn, now time.Duration) {
	if !w.running || w.finished {
		return
	}
	if w.plan.Rate > 0 {
		c.since = now
		w.free.push(c)
		w.dispatch()
		return
	}
	if now >= w.rec.to || w.budget == 0 {
		w.finishIfIdle(now)
		return
	}
	w.begin(c, now, now)
}

// dispatch sends what is due on the connections that are free, longest free first.
func (w *worker) dispatch() {
	for !w.finished {
		now := w.now()
		if w.sched.due >= w.rec.to || w.budget == 0 {
			w.finishIfIdle(now)
			return
		}
		if w.free.len() == 0 {
			return // the next connection that is free calls again
		}
		if w.sched.due > now {
			w.pacer.arm(w.sched.due, now)
			return
		}
		c := w.free.pop()
		if c.busy || c.link != linkUp && !w.plan.Reconnect {
			continue // closed while it was free; it comes back when it is made anew
		}
		w.begin(c, w.sched.take(), now)
	}
}

// begin starts the request that was due at due on c.
func (w *worker) begin(c *conn, due, now time.Duration) {
	late := time.Duration(-1)
	if w.plan.Rate > 0 {
		late = w.blame.late(due, c.since, now)
	}
	w.rec.sent(due, late)
	if due >= w.rec.from {
		w.budget--
	}
	w.inFlight++
	c.begin(due, now)
}

// ended notes the end of a request on c, which the caller has marked free.
func (w *worker) ended(c *conn, now time.Duration, f failure) {
	w.inFlight--
	if !w.plan.bulk() || f != failUnfinished {
		w.rec.done(c.due, now, f)
	}
}

func (w *worker) finishIfIdle(now time.Duration) {
	if !w.running || w.inFlight > 0 {
		return
	}
	if w.budget == 0 {
		w.rec.to = min(w.rec.to, now)
		w.finish()
	} else if now >= w.rec.to && (w.plan.Rate == 0 || w.sched.due >= w.rec.to) {
		w.finish()
	}
}

// finish closes the connections. What was due and is not answered counts with the
// time it has taken so far: else a stall at the end of a run would not show.
func (w *worker) finish() {
	if w.finished {
		return
	}
	w.finished = true
	now := w.now()
	for i := range w.conns {
		w.conns[i].finish(now)
	}
	if w.running && w.plan.Rate > 0 && w.budget > 0 {
		w.dropBacklog(now)
	}
	w.loop.Disarm(&w.sweeping)
	w.loop.Disarm(&w.ending)
	close(w.done)
}

func (w *worker) dropBacklog(now time.Duration) {
	for range maxBacklog {
		if w.sched.due >= min(w.rec.to, now) {
			return
		}
		due := w.sched.take()
		if w.rec.within(due) {
			w.rec.began++
		}
		w.rec.done(due, now, failUnfinished)
	}
	w.rec.explain(errors.New("the backlog was too long to be counted"))
}

// sweeper ends requests that take too long.
type sweeper struct{ w *worker }

func (s sweeper) Expire(*loop.Timer) {
	w := s.w
	now := w.now()
	if due := w.swept + sweepEvery + timerSlack; now > due {
		w.blame.held(due, now)
	}
	w.swept = now
	for i := range w.conns {
		w.conns[i].checkTimeout(now)
	}
	if !w.finished {
		w.loop.Arm(&w.sweeping, sweepEvery, s)
	}
}

func (s sweeper) Abort() { s.w.finish() }

// ender ends the run: new requests are refused by the time, this looks after those
// that are under way.
type ender struct{ w *worker }

func (e ender) Expire(*loop.Timer) {
	w := e.w
	now := w.now()
	switch end := w.rec.to; {
	case now < end:
		w.loop.Arm(&w.ending, end-now, e)
	case w.plan.bulk() || now >= end+w.plan.grace():
		w.finish()
	default:
		w.loop.Arm(&w.ending, end+w.plan.grace()-now, e)
		w.finishIfIdle(now)
	}
}

func (e ender) Abort() { e.w.finish() }

// pacer wakes the worker when the next request is due. The loop's own timers are
// for timeouts: they are rounded up to 10 ms.
type pacer struct {
	w   *worker
	fd  int
	set time.Duration // for which time it is armed, 0: not armed
}

func (p *pacer) arm(due, now time.Duration) {
	if p.set != 0 && p.set <= due {
		return // it wakes us before, and is then set anew
	}
	p.set = due
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(due-now, 1)))}
	if err := unix.TimerfdSettime(p.fd, 0, &spec, nil); err != nil {
		panic(fmt.Sprintf("BUG: cannot set timer to %s: %v", due-now, err))
	}
}

// Ready implements [loop.Handler].
func (p *pacer) Ready(int, loop.Events) {
	p.set = 0
	p.w.dispatch()
}

// Abort implements [loop.Handler].
func (p *pacer) Abort() { p.w.finish() }

// ring holds the free connections in the order in which they became free, each at
// most once.
type ring struct {
	conns []*conn
	first int
	n     int
}

func newRing(size int) ring { return ring{conns: make([]*conn, max(size, 1))} }

func (r *ring) len() int { return r.n }

func (r *ring) push(c *conn) {
	if c.queued {
		return
	}
	c.queued = true
	r.conns[(r.first+r.n)%len(r.conns)] = c
	r.n++
}

func (r *ring) pop() *conn {
	c := r.conns[r.first]
	r.first = (r.first + 1) % len(r.conns)
	r.n--
	c.queued = false
	return c
}
