package load

import (
	"fmt"
	"time"
)

// saturated is the share of its CPUs from which on a program counts as bound by them.
const saturated = 0.9

// shortest is how long a run must be for its CPU figures to tell who was the bottleneck:
// the target's come in clock ticks, and twenty of them keep the error at 5 %.
const shortest = 20 * clockTick

// facts are what decides whether a run says something about the target.
type facts struct {
	plan     *Plan
	answered int64
	failed   int64
	bytes    int64
	lateness time.Duration // 99th percentile
	cpus     int           // that the generator may use
	spent    spent
	first    error // what went wrong first
	stopped  bool
}

// judge returns why the run is not valid, which is why the generator, and not the
// target, may have been measured. A valid run has no reasons.
func judge(f facts) (reasons []string) {
	add := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	if f.stopped {
		add("the run was interrupted")
	}
	if f.answered == 0 && (!f.plan.bulk() || f.bytes == 0 || f.failed > 0) {
		if f.first != nil {
			add("nothing was answered: %v", f.first)
		} else {
			add("nothing was answered")
		}
	}
	if f.plan.Rate > 0 && f.lateness > f.plan.LatenessLimit {
		add("the generator was late: %s at the 99th percentile while a connection was free; the limit is %s",
			round(f.lateness), f.plan.LatenessLimit)
	}
	if why := generatorBound(f); why != "" {
		add("%s", why)
	}
	return reasons
}

// unjudged returns why nothing can be said about who was the bottleneck, or "".
func unjudged(s spent) string {
	if s.wall >= shortest {
		return ""
	}
	return fmt.Sprintf("whether the generator was the bottleneck: the run took %s, less than %s",
		round(s.wall), shortest)
}

// generatorBound tells whether the generator had no CPU left while the target may have had.
func generatorBound(f facts) string {
	if unjudged(f.spent) != "" {
		return ""
	}
	own, room := f.spent.own.Seconds()/f.spent.wall.Seconds(), f.capacity()
	if own < saturated*room {
		return ""
	}
	if !f.spent.known {
		return fmt.Sprintf("the generator used %.2f of its %.0f CPUs and the target's use is not known "+
			"(name its processes)", own, room)
	}
	if f.spent.targetSaturated() {
		return ""
	}
	return fmt.Sprintf("the generator used %.2f of its %.0f CPUs, the target only %.2f of %d",
		own, room, f.spent.target.Seconds()/f.spent.wall.Seconds(), f.spent.cpus)
}

// capacity is how many CPUs the generator can keep busy.
func (f facts) capacity() float64 {
	if f.plan.onLoop() {
		return float64(min(f.cpus, f.plan.Loops))
	}
	return float64(min(f.cpus, f.plan.Conns))
}

// targetSaturated reports that the target had no CPU left: all of those that it may
// use, or one for a thread that does all the work.
func (s spent) targetSaturated() bool {
	wall := s.wall.Seconds()
	return s.target.Seconds() >= saturated*wall*float64(s.cpus) || s.busiest.Seconds() >= saturated*wall
}

// round cuts d to three digits or so, for people.
func round(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
