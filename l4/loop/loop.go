// Package loop runs event loops over non-blocking sockets and takes connections
// from and to them. A [Loop] is one goroutine with its own event queue, timer
// wheel and listeners; everything it watches stays with it, so its handlers need
// no locks. A connection that is better served by a goroutine leaves the loop as
// a [Handover] and becomes a [Conn].
//
// Handlers must never block: no file, no name resolution, no lock that is held
// for long, no work without a bound.
package loop

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// ScratchSize is the length of a loop's scratch buffer, the most that one read takes.
	ScratchSize = 64 << 10
	// tick is the resolution of timers.
	tick = 10 * time.Millisecond
	// yieldEvery is how often a busy loop lets the scheduler of Go have a look. A goroutine
	// that never does counts as one to be preempted after 10 ms: from then on its processor
	// is taken away in each system call that takes longer than the monitor's 20 µs, and two
	// threads are woken to give it back. Twice that often, a waiting loop keeps it for 10 ms.
	yieldEvery = 5 * time.Millisecond
)

// Handler owns descriptors that a loop watches.
type Handler interface {
	// Ready is called when something may have changed. Each change is reported
	// once: the handler reads and writes until the socket takes no more, or asks
	// for another call with [Loop.Again].
	Ready(fd int, ev Events)
	Aborter
}

// Aborter is what a loop can do with a handler that panicked: Abort must close
// everything that the handler owns.
type Aborter interface {
	Abort()
}

// Stats are the counters of a loop. They may be read from any goroutine.
type Stats struct {
	// Progress grows by one at the start and at the end of each callback: where it
	// is odd and stands still, the loop is blocked.
	Progress atomic.Uint64
	Watched  atomic.Int64  // descriptors of connections
	Parked   atomic.Int64  // those of them that are parked, see Loop.Park
	Backoffs atomic.Uint64 // times a listener left the queue because descriptors or memory ran out
	Panics   atomic.Uint64 // callbacks that panicked
}

// Loop is one event loop. Only Do, Stats and Close may be called from other
// goroutines; everything else belongs to the loop's own, that is, to handlers,
// timers and the functions given to Do.
type Loop struct {
	log     *slog.Logger
	p       *epoll
	table   []Handler // by descriptor
	scratch []byte
	stats   Stats
	dialed  dialAddr
	parked  parked
	late    putOff

	firstEphemeral uint16

	onBackoff func()
	onEnd     []func()
	rouse     atomic.Pointer[func()] // called by the next callback; see Pulse.Rest

	epoch   time.Time
	now     time.Duration
	clock   clock
	yielded time.Duration // when the loop yielded last
	wheel   wheel
	timerFD int
	alarm   int64 // tick for which timerFD is set, 0: not set
	firing  bool

	mu     sync.Mutex
	tasks  []func() // guarded by mu
	closed bool     // guarded by mu; the event queue is gone

	running []func() // tasks being run, swapped with tasks
	stop    bool
	done    chan struct{}
}

// New starts a loop. The caller must Close it.
func New(log *slog.Logger) (*Loop, error) {
	p, err := openEpoll()
	if err != nil {
		return nil, fmt.Errorf("cannot open event queue: %w", err)
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		_ = p.close()
		return nil, fmt.Errorf("cannot open timer: %w", err)
	}
	l := &Loop{
		log: log, p: p, timerFD: fd, epoch: time.Now(),
		scratch: make([]byte, ScratchSize), done: make(chan struct{}), firstEphemeral: firstEphemeral(),
	}
	l.set(fd, timerHandler{l})
	if err := p.watch(fd); err != nil {
		_ = p.close()
		CloseSocket(fd)
		return nil, fmt.Errorf("cannot watch timer: %w", err)
	}
	go l.run()
	return l, nil
}

// OnBackoff sets what is called on the loop each time a listener backs off because
// descriptors or memory ran out. It must not block, and is set before Listen.
func (l *Loop) OnBackoff(fn func()) { l.onBackoff = fn }

// OnEnd adds a function that is called on the loop when it ends: who has raw connections
// there must take or close them. It is called on the loop.
func (l *Loop) OnEnd(fn func()) { l.onEnd = append(l.onEnd, fn) }

// Close stops the loop and returns when its goroutine has ended. Descriptors that
// are still watched stay open: their owners must close them before. Owners of parked
// connections are told to leave.
func (l *Loop) Close() {
	l.Do(func() { l.stop = true })
	<-l.done
}

// Do runs f on the loop. It reports false, and f is never run, when the loop has
// ended. It may be called from any goroutine and does not wait for f.
func (l *Loop) Do(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.tasks = append(l.tasks, f)
	if len(l.tasks) == 1 {
		if err := l.p.wake(); err != nil {
			l.log.Error("cannot wake event loop", "error", err)
		}
	}
	return true
}

// Stats returns the loop's counters.
func (l *Loop) Stats() *Stats { return &l.stats }

// Scratch is a buffer of ScratchSize for use within one callback.
func (l *Loop) Scratch() []byte { return l.scratch }

// Now is the time since the loop started, as of the start of this callback.
func (l *Loop) Now() time.Duration { return l.now }

// Time is the present time, as of the start of this callback: two looks at the kernel's
// clock less for each use. Its monotonic part is exact, so differences are; the time of
// day follows a clock that was set within clockFresh.
func (l *Loop) Time() time.Time { return l.clock.at(l.epoch, l.now) }

// Watch makes h responsible for fd, an open non-blocking descriptor.
func (l *Loop) Watch(fd int, h Handler) error {
	l.set(fd, h)
	if err := l.p.watch(fd); err != nil {
		l.table[fd] = nil
		return fmt.Errorf("cannot watch descriptor: %w", err)
	}
	l.stats.Watched.Add(1)
	return nil
}

// Again asks for one more call of Ready for a watched fd that a handler left
// readable or writable, after those of the other descriptors.
func (l *Loop) Again(fd int) {
	if err := l.p.rewatch(fd); err != nil {
		panic(fmt.Sprintf("BUG: cannot watch descriptor %d again: %v", fd, err))
	}
}

// Release ends the watch of fd and leaves it open: it has a new owner. An event
// queue holds on to the connection itself, not to the number, so a descriptor
// that only moves away would still be reported here.
func (l *Loop) Release(fd int) {
	l.unset(fd)
	if err := l.p.forget(fd); err != nil {
		l.log.Error("cannot forget descriptor", "error", err)
	}
}

// CloseFD closes a watched fd.
func (l *Loop) CloseFD(fd int) {
	l.unset(fd)
	CloseSocket(fd)
}

// ResetFD closes a watched fd with an RST instead of a FIN. What the kernel has
// not sent yet is dropped.
func (l *Loop) ResetFD(fd int) {
	Reset(fd)
	l.unset(fd)
}

// CloseSocket closes a socket that no loop watches. Whatever close(2) says, the
// descriptor is gone, and there is no one left to tell. It does not wait, so the scheduler
// of Go need not know of it.
func CloseSocket(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// Reset is CloseSocket with an RST instead of a FIN.
func Reset(fd int) {
	// An error means that the connection is gone already, or is a unix socket, which knows no RST.
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	CloseSocket(fd)
}

func (l *Loop) set(fd int, h Handler) {
	if fd >= len(l.table) {
		table := make([]Handler, max(2*len(l.table), fd+1, 64))
		copy(table, l.table)
		l.table = table
	}
	l.table[fd] = h
}

func (l *Loop) unset(fd int) {
	if l.table[fd] == nil {
		panic(fmt.Sprintf("BUG: descriptor %d is not watched", fd))
	}
	l.table[fd] = nil
	l.stats.Watched.Add(-1)
}

func (l *Loop) run() {
	defer close(l.done)
	for !l.poll() {
		// A panic outside of any handler ended the round; what it had in hand is lost, the loop is not.
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.CatchUp()
	l.runTasks() // those that came after the last look; from now on there are no more
	for _, fn := range l.onEnd {
		l.task(fn)
	}
	l.CatchUp()
	l.evict()
	if err := l.p.close(); err != nil {
		l.log.Error("cannot close event queue", "error", err)
	}
	CloseSocket(l.timerFD)
}

// poll returns true when the loop is to end.
func (l *Loop) poll() (end bool) {
	defer l.Recovered(nil)
	if err := l.p.run(l.event, l.runTasks, l.CatchUp); err != nil {
		l.log.Error("event loop ended", "error", err)
	}
	return true
}

func (l *Loop) begin() {
	l.stats.Progress.Add(1)
	if l.rouse.Load() != nil { // after the count: see Pulse.Rest
		l.endRest()
	}
	l.now = time.Since(l.epoch)
}

func (l *Loop) end() { l.stats.Progress.Add(1) }

func (l *Loop) event(fd int, ev Events) {
	if fd >= len(l.table) || l.table[fd] == nil {
		return // closed earlier in this batch
	}
	l.begin()
	l.ready(l.table[fd], fd, ev)
	l.end()
	if l.now-l.yielded >= yieldEvery {
		l.yielded = l.now
		runtime.Gosched()
	}
}

func (l *Loop) ready(h Handler, fd int, ev Events) {
	defer l.Recovered(h)
	h.Ready(fd, ev)
}

// runTasks runs what Do collected and reports whether the loop goes on.
func (l *Loop) runTasks() bool {
	l.mu.Lock()
	l.running, l.tasks = l.tasks, l.running[:0]
	l.mu.Unlock()
	l.begin()
	for i, f := range l.running {
		l.task(f)
		l.running[i] = nil
	}
	l.end()
	return !l.stop
}

func (l *Loop) task(f func()) {
	defer l.Recovered(nil)
	f()
}

// Recovered is to be deferred. It recovers a panic, counts and logs it, and calls
// a.Abort unless a is nil, so that one connection pays for a bug and not the
// process. The loop defers it around each callback.
func (l *Loop) Recovered(a Aborter) {
	v := recover()
	if v == nil {
		return
	}
	l.stats.Panics.Add(1)
	l.log.Error("panic on event loop", "panic", v, "stack", string(debug.Stack()))
	if a == nil {
		return
	}
	defer l.Recovered(nil)
	a.Abort()
}
