package engine

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"weir/pool/metric"
)

// pressure says what is done because memory is short. Each step includes those before.
//
//	calm ──95 %──> shedding ──98 %──> answering ──99 %──> closing
//	     <──90 %──          <──95 %──           <──97 %──
type pressure uint8

const (
	calm      pressure = iota
	shedding           // idle connections are closed, new sessions are reset
	answering          // HTTP requests get 503
	closing            // every new connection is reset
)

// String gives the word for the log.
func (p pressure) String() string {
	return [...]string{"calm", "shedding", "answering", "closing"}[p]
}

// The shares of the limit at which each step begins, and below which it ends. What lies
// between keeps a step from ending and beginning all the time.
var (
	rises = [...]float64{shedding: 0.95, answering: 0.98, closing: 0.99}
	falls = [...]float64{shedding: 0.90, answering: 0.95, closing: 0.97}
)

// calmBelow is the share of the limit below which no step begins or goes on.
const calmBelow = 0.85

// next is the step that follows p when a share of the limit is used.
func (p pressure) next(share float64) pressure {
	for p < closing && share >= rises[p+1] {
		p++
	}
	for p > calm && share < falls[p] {
		p--
	}
	return p
}

const (
	// memoryTick is how often memory is measured.
	memoryTick = 100 * time.Millisecond
	// reclaimEvery is how often garbage is collected for want of memory at most.
	reclaimEvery = 5 * time.Second
	// restBelow is the share of the limit below which the guard rests with the loops.
	restBelow = 0.5
	// pressureLogEvery is how often the log may tell of a step at most.
	pressureLogEvery = 10 * time.Second
)

// memoryGuard measures what the process uses of its memory and has others give some up
// before the kernel ends the process. All of it belongs to one goroutine but the
// figures for metrics.
type memoryGuard struct {
	log     *slog.Logger
	limit   int64
	measure func() (int64, error)
	reclaim func()         // collects garbage and gives it back to the kernel
	act     func(pressure) // is told of the step in force at each look; must not block
	cache   *cacheMemory   // gives way first; nil: there is none

	now       pressure
	reclaimed time.Time
	told      time.Time
	toldStep  pressure
	failed    bool // to measure, which was logged

	used atomic.Int64
	step atomic.Int64
}

// look measures once and acts on it.
func (g *memoryGuard) look(at time.Time) {
	share, ok := g.share()
	if !ok {
		return
	}
	if g.cache != nil {
		g.cache.look(share)
	}
	// Also on the way back: what clients gave up is garbage first, and an idle process
	// would keep that for minutes.
	if (share >= rises[shedding] || g.now > calm) && (g.reclaimed.IsZero() || at.Sub(g.reclaimed) >= reclaimEvery) {
		g.reclaimed = at
		g.reclaim()
		if share, ok = g.share(); !ok {
			return
		}
	}
	g.now = g.now.next(share)
	g.step.Store(int64(g.now))
	g.act(g.now)
	if g.now != g.toldStep && (g.told.IsZero() || at.Sub(g.told) >= pressureLogEvery) {
		g.told, g.toldStep = at, g.now
		level := slog.LevelWarn
		if g.now == calm {
			level = slog.LevelInfo
		}
		g.log.Log(context.Background(), level, "memory pressure changed",
			"step", g.now.String(), "used", g.used.Load(), "limit", g.limit)
	}
}

// share is what part of the limit is used.
func (g *memoryGuard) share() (float64, bool) {
	used, err := g.measure()
	if err != nil {
		if !g.failed {
			g.failed, g.now = true, calm
			g.step.Store(int64(calm))
			g.log.Error("cannot measure memory, nothing is shed for want of it", "error", err)
			g.act(calm)
		}
		return 0, false
	}
	g.failed = false
	g.used.Store(used)
	return float64(used) / float64(g.limit), true
}

// guardMemory watches memory until ctx ends. Without a limit it does nothing.
func (e *Engine) guardMemory(ctx context.Context) {
	if e.memory.bytes == 0 {
		return
	}
	gauge, err := openMemoryGauge(e.memory)
	if err != nil {
		e.log.Error("cannot measure memory, nothing is shed for want of it", "error", err)
		return
	}
	defer gauge.close()
	g := &memoryGuard{
		log: e.log, limit: e.memory.bytes, measure: gauge.used, reclaim: debug.FreeOSMemory, act: e.press,
		cache: e.newCacheMemory(),
	}
	e.metrics.Gauge(metric.MemoryLimit).Set(e.memory.bytes)
	e.metrics.GaugeFunc(metric.MemoryUsed, func() float64 { return float64(g.used.Load()) })
	e.metrics.GaugeFunc(metric.MemoryPressure, func() float64 { return float64(g.step.Load()) })
	timer := time.NewTimer(memoryTick)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.rest.ended:
		}
		e.guardOnce(g)
		wait := memoryTick
		if g.mayRest() && e.l7.IsStill() { // goroutines may be busy while no loop is
			wait = e.rest.interval(memoryTick)
		}
		timer.Reset(wait)
	}
}

// mayRest reports whether there is so much memory left that, while no loop has anything
// to do, nothing can take it all before the next look of one that rests.
func (g *memoryGuard) mayRest() bool {
	return g.now == calm && float64(g.used.Load()) < restBelow*float64(g.limit)
}

func (e *Engine) guardOnce(g *memoryGuard) {
	defer func() {
		if p := recover(); p != nil {
			e.panicked("memory guard", p)
		}
	}()
	g.look(time.Now())
}

// press does what the step asks for.
func (e *Engine) press(p pressure) {
	e.l4.RefuseForMemory(p >= shedding, p >= closing)
	e.l7.SetOverloaded(p >= answering)
	if p >= shedding {
		e.l7.Shed()
	}
}
