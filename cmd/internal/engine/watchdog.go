package engine

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"time"

	"weir/pool/metric"
)

const (
	// watchdogTick is how often the watchdog looks at the loops, and how long one may
	// stand still before it warns.
	watchdogTick = 100 * time.Millisecond
	// lateTick is when a look came too late to mean anything: the machine, or the whole
	// process, was stopped, or has no processor time to give.
	lateTick = watchdogTick * 3 / 2
	// fatalTicks is how many looks in a row, none of them late, find a loop standing
	// still before the process is given up.
	fatalTicks = 20
	// warnEvery is how often the log may tell of a loop that stands still, with stacks.
	warnEvery = 10 * time.Second
)

// pulse is what the watchdog sees of a loop ([loop.Pulse]).
type pulse interface {
	// Beats reports whether there was progress since the last call, or nothing to do.
	Beats() bool
	// IsStill reports whether it has had nothing to do for a while, Rest has rouse called
	// when that changes, and Wake is the end of it.
	IsStill() bool
	Rest(rouse func()) bool
	Wake()
}

// watchdog sees that all loops make progress. A loop that stands still serves none
// of its connections, and a bug that ends in an endless loop is there for good: a
// process that ends can be started again.
//
//	beating ──a look without progress──> warned ──20 in a row, on time──> given up
//	   ^                                   │
//	   └──────progress, or a late look─────┘
//
// While no loop has anything to do it rests: it only looks now and then whether they
// still wake, and the first of them that does something rouses it.
type watchdog struct {
	log    *slog.Logger
	pulses []pulse
	stalls []*metric.Counter // by loop
	giveUp func(loop int)    // ends the process

	alive       func() error  // tells the service manager; nil: it does not ask
	notifyEvery time.Duration // how often it wants to be told

	rest    *rest
	roused  chan struct{} // a loop does something: the rest is over
	resting bool

	misses   []int // looks in a row without progress, by loop
	last     time.Time
	warned   time.Time
	notified time.Time
	told     time.Time // when an error of alive was logged
}

// start is the time before the first look.
func (w *watchdog) start(now time.Time) {
	w.misses = make([]int, len(w.pulses))
	w.last = now
	w.notify(now)
}

// look is one look at all loops.
func (w *watchdog) look(now time.Time) {
	onTime := now.Sub(w.last) <= lateTick
	w.last = now
	all := true
	for i, p := range w.pulses {
		switch {
		case p.Beats():
			w.misses[i] = 0
			continue
		case !onTime:
			w.misses[i] = 0
		default:
			w.misses[i]++
			w.missed(i, now)
		}
		all = false
	}
	if all {
		w.notify(now)
	}
}

// missed acts on a look at loop i that was in time and found no progress.
func (w *watchdog) missed(i int, now time.Time) {
	if w.misses[i] == 1 {
		w.stalls[i].Inc()
		if w.warned.IsZero() || now.Sub(w.warned) >= warnEvery {
			w.warned = now
			w.log.Warn("event loop makes no progress", "loop", i, "for", watchdogTick, "stacks", stacks())
		}
	}
	if w.misses[i] >= fatalTicks {
		w.giveUp(i)
	}
}

// lieDown begins to rest, where all loops are still, and says when to look next if
// nobody rouses the watchdog before.
func (w *watchdog) lieDown() time.Duration {
	for _, p := range w.pulses {
		if !p.IsStill() {
			return watchdogTick
		}
	}
	w.resting = true
	w.rest.begin() // before a loop can end it
	for _, p := range w.pulses {
		if !p.Rest(w.rouse) {
			w.wake(w.last)
			return watchdogTick
		}
	}
	if w.notifyEvery > 0 {
		return min(restLook, w.notifyEvery)
	}
	return restLook
}

// rouse is called on a loop.
func (w *watchdog) rouse() {
	w.rest.end()
	select {
	case w.roused <- struct{}{}:
	default: // it is told already
	}
}

// wake ends the rest.
func (w *watchdog) wake(now time.Time) {
	if !w.resting {
		return
	}
	w.resting = false
	w.rest.end()
	for _, p := range w.pulses {
		p.Wake()
	}
	w.last = now
}

// notify tells the service manager that all is well, when it is time to.
func (w *watchdog) notify(now time.Time) {
	if w.alive == nil || !w.notified.IsZero() && now.Sub(w.notified) < w.notifyEvery {
		return
	}
	w.notified = now
	if err := w.alive(); err != nil && (w.told.IsZero() || now.Sub(w.told) >= warnEvery) {
		w.told = now
		w.log.Warn(err.Error())
	}
}

// watchLoops runs the watchdog until ctx ends.
func (e *Engine) watchLoops(ctx context.Context) {
	w := &watchdog{log: e.log, giveUp: e.giveUp, rest: e.rest, roused: make(chan struct{}, 1)}
	for i, p := range e.l4.Pulses() {
		w.pulses = append(w.pulses, p)
		w.stalls = append(w.stalls, e.metrics.Counter(metric.LoopStalls, strconv.Itoa(i)))
	}
	if w.notifyEvery = watchdogInterval(os.Getenv, os.Getpid()); w.notifyEvery > 0 {
		w.alive = e.notify.alive
	}
	w.start(time.Now())
	timer := time.NewTimer(watchdogTick) // no ticker: after a late tick its next one comes early
	defer timer.Stop()
	for {
		wait := watchdogTick
		select {
		case <-ctx.Done():
			return
		case <-w.roused: // what the loop does now may take as long as a tick
			w.wake(time.Now())
		case <-timer.C:
			wait = e.watchOnce(w)
		}
		timer.Reset(wait)
	}
}

// watchOnce looks once and returns when to look again.
func (e *Engine) watchOnce(w *watchdog) (wait time.Duration) {
	wait = watchdogTick
	defer func() {
		if p := recover(); p != nil {
			e.panicked("watchdog", p)
		}
	}()
	now := time.Now()
	w.wake(now)
	w.look(now)
	return w.lieDown()
}

// giveUp ends the process because of a loop that will not go on. A drain would wait
// for it, so there is none.
func (e *Engine) giveUp(loop int) {
	e.log.Error("event loop is stuck, ending the process", "loop", loop,
		"for", fatalTicks*watchdogTick, "stacks", stacks())
	e.out.flush()
	os.Exit(exitStuck)
}

// exitStuck is the exit code of a process whose watchdog ended it.
const exitStuck = 1

// watchdogInterval is how often the service manager wants to hear that the process is
// alive: half of WATCHDOG_USEC, as sd_watchdog_enabled(3) advises, but not less than
// the watchdog looks. 0: it does not want to, or means another process than pid.
func watchdogInterval(env func(string) string, pid int) time.Duration {
	if of := env("WATCHDOG_PID"); of != "" && of != strconv.Itoa(pid) {
		return 0
	}
	usec, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return max(time.Duration(usec)*time.Microsecond/2, watchdogTick)
}
