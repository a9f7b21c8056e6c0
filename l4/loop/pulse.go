package loop

// askAfter is after how many quiet looks in a row a loop is asked for a sign of life.
const askAfter = 10

// stillAfter is after how many looks in a row that found nothing a loop is still.
const stillAfter = 10

// Pulse tells whether a loop makes progress, by the counter that its callbacks keep
// anyway: a busy loop pays nothing for it, and one with nothing to do runs an empty
// task now and then. It is for one goroutine, which is not the loop's.
type Pulse struct {
	loop  *Loop
	seen  uint64
	quiet int  // looks in a row in which nothing had happened
	asked bool // a task is on its way
	still int  // looks in a row in which nothing had happened, but that it answered
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
		if answered := p.asked && progress == p.seen+2; answered {
			p.still++
		} else {
			p.still = 0
		}
		p.seen, p.quiet, p.asked = progress, 0, false
		return true
	}
	inCallback := progress%2 == 1
	if inCallback || p.asked {
		return false
	}
	p.quiet++
	p.still++
	if p.quiet < askAfter {
		return true
	}
	p.asked = p.loop.Do(func() {})
	return p.asked
}

// IsStill reports whether the loop has had nothing to do for some looks, so that it is
// worth a try to Rest.
func (p *Pulse) IsStill() bool { return p.still >= stillAfter && !p.asked }

// Rest has the loop call rouse as soon as it does something again, once and on the loop:
// until then nobody need look. It reports false, and rouse may or may not be called, where
// the loop has just begun to do something.
func (p *Pulse) Rest(rouse func()) bool {
	p.loop.rouse.Store(&rouse)
	// The loop counts before it looks for rouse, and here it is the other way round: one
	// of both sees the other.
	return p.loop.stats.Progress.Load() == p.seen && p.seen%2 == 0
}

// Wake ends a rest, or what Rest began in vain. The next call of Beats says what happens
// from now on, and asks a loop that has nothing to do for a sign of life.
func (p *Pulse) Wake() {
	p.loop.rouse.Store(nil)
	p.seen, p.quiet, p.asked = p.loop.stats.Progress.Load(), askAfter-1, false
}

// endRest calls who rests while nothing happens on the loop.
func (l *Loop) endRest() {
	if rouse := l.rouse.Swap(nil); rouse != nil {
		(*rouse)()
	}
}
