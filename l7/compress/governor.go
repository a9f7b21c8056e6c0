package compress

import "sync/atomic"

// Governor lowers the levels of all encoders while the process is short of CPU, and
// raises them again: octets on the wire are cheaper than requests that wait.
//
// It is told how busy the process was in one interval after another, and knows neither
// a clock nor where the number comes from. Steps goes up by one for each interval at
// or above the target, and down by one after calmIntervals in a row that were below
// the target by more than the margin: so it falls fast, comes back slowly and does not
// swing around the target.
type Governor struct {
	target atomic.Int32 // percent; 0: never
	steps  atomic.Int32
	calm   int // intervals in a row; of the one that observes
}

const (
	maxSteps      = maxLevel - 1 // brings any level to the lowest
	calmIntervals = 5
	margin        = 15 // percent
)

// SetTarget changes the share of the CPU, in percent, from which on levels fall; 0:
// they never do.
func (g *Governor) SetTarget(percent int) {
	g.target.Store(int32(percent))
	if percent == 0 {
		g.steps.Store(0)
	}
}

// IsOn reports whether Observe has to be called.
func (g *Governor) IsOn() bool { return g.target.Load() > 0 }

// Observe takes the share of the CPU that the process used in the last interval, in
// percent of what it may use. One goroutine calls it.
func (g *Governor) Observe(percent int) {
	target, steps := g.target.Load(), g.steps.Load()
	switch {
	case target == 0:
		return
	case int32(percent) >= target:
		g.calm = 0
		g.steps.Store(min(steps+1, maxSteps))
	case steps == 0 || int32(percent) >= target-margin:
		g.calm = 0
	default:
		if g.calm++; g.calm >= calmIntervals {
			g.calm = 0
			g.steps.Store(steps - 1)
		}
	}
}

// Rest tells that nothing will be observed for a while because there is nothing to do:
// levels are what they should be again. It is for the one that observes.
func (g *Governor) Rest() {
	g.calm = 0
	g.steps.Store(0)
}

// Steps returns by how much levels are lowered now.
func (g *Governor) Steps() int { return int(g.steps.Load()) }
