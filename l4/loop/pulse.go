package loop

// askAfter is after how many quiet looks in a row a loop is asked for a sign of life.
const askAfter = 10

// Pulse tells whether a loop makes progress, by the counter that its callbacks keep
// anyway: a busy loop pays nothing for it, and one with nothing to do runs an empty
// task now and then. It is for one goroutine, which is not the loop's.
type Pulse struct {
	loop  *Loop
	seen  uint64
	quiet int  // looks in a row in which nothing had happened
	asked bool // a task is on its way
}

// NewPulse returns a Pulse of l.
func NewPulse(l *Loop) *Pulse { return &Pulse{loop: l} }

// Beats reports whether the loop made progress since the last call, or has nothing
// to do. It is false where one callback was running all the time, and where the
// empty task that the loop was given at the last call has not been run yet. Of a
// loop that has ended it is false.
func (p *Pulse) Beats() bool {
	progress := p.loop.stats.Progress.Load()
	if progress != p.seen {
		p.seen, p.quiet, p.asked = progress, 0, false
		return true
	}
	inCallback := progress%2 == 1
	if inCallback || p.asked {
		return false
	}
	p.quiet++
	if p.quiet < askAfter {
		return true
	}
	p.asked = p.loop.Do(func() {})
	return p.asked
}
