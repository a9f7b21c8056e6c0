package engine

import (
	"sync/atomic"
	"time"
)

// restLook is how often those look that rest while no loop has anything to do: a process
// that nobody uses is to wake a few times in a minute, and not ten times per second.
const restLook = 5 * time.Second

// rest tells those who look at the process all the time that nothing happens on its
// loops. The watchdog finds that out and says so. The zero rest is none.
type rest struct {
	on    atomic.Bool
	ended chan struct{} // has a value where the rest has ended since the last look
}

func newRest() *rest { return &rest{ended: make(chan struct{}, 1)} }

func (r *rest) begin() { r.on.Store(true) }

// end ends the rest, if there is one. It may be called again.
func (r *rest) end() {
	if r.on.Swap(false) {
		select {
		case r.ended <- struct{}{}:
		default: // it is told already
		}
	}
}

// interval is how long one may wait until the next look, or until ended: often where
// something happens.
func (r *rest) interval(often time.Duration) time.Duration {
	select {
	case <-r.ended: // before on is read: an end from then on is not missed
	default:
	}
	if r.on.Load() {
		return restLook
	}
	return often
}
