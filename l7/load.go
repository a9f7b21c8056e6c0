package l7

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// loadTicks is how often the CPU of the process is looked at, in ticks of the sweeper.
const loadTicks = 4

// load measures how much of the CPU that it may use the process has used. It belongs
// to the sweeper.
type load struct {
	at   time.Time // of the last look; zero: none
	used time.Duration
}

// percent returns the share since the last call, false the first time.
func (l *load) percent() (int, bool) {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0, false // it cannot fail with these arguments
	}
	now, used := time.Now(), time.Duration(u.Utime.Nano()+u.Stime.Nano())
	wall, spent, first := now.Sub(l.at), used-l.used, l.at.IsZero()
	l.at, l.used = now, used
	if first || wall <= 0 {
		return 0, false
	}
	return int(100 * spent / (wall * time.Duration(runtime.GOMAXPROCS(0)))), true
}

// govern tells the governor of compression how busy the process is.
func (w *sweeper) govern() {
	g := &w.s.governor
	if !g.IsOn() {
		w.load = load{}
		return
	}
	if w.clock.Load()%loadTicks != 0 {
		return
	}
	if percent, ok := w.load.percent(); ok {
		g.Observe(percent)
	}
}

// limitCompression puts the limits of a snapshot into force. A process that encodes
// nothing does not look at its CPU.
func (s *Server) limitCompression(snap *Snapshot) {
	if snap.compress == nil {
		return
	}
	s.encoders.SetBudget(int64(snap.compress.Memory))
	s.shelf.SetBudget(int64(snap.compress.Dictionaries))
	cpu := 0
	for _, l := range snap.listeners {
		for _, r := range l.routes {
			if r.compress != nil {
				cpu = snap.compress.CPU
			}
		}
	}
	s.governor.SetTarget(cpu)
}
