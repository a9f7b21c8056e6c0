package backend

import "time"

// keep waits for what falls due: ends of ejections and drains, and steps of slow starts.
func (r *Registry) keep() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		next := time.Now().Add(time.Second) // where a panic left it open
		r.guard("keeper", func() {
			next = r.tick(time.Now())
			r.tellLost()
		})
		timer.Reset(time.Until(next))
		select {
		case <-r.ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// wakeKeeper makes the keeper look again at what it waits for. It never blocks.
func (r *Registry) wakeKeeper() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// tick does what is due at now and returns when to come back.
func (r *Registry) tick(now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := now.Add(time.Hour)
	for _, e := range r.endpoints {
		if e.ejected.Load() {
			if at := r.endEjection(e, now); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
	}
	for _, g := range r.order {
		if !g.ramping {
			continue
		}
		if !g.nextRamp.After(now) {
			g.rebuild(now)
		}
		if g.ramping && g.nextRamp.Before(next) {
			next = g.nextRamp
		}
	}
	return r.endDrains(now, next)
}

// endEjection lets e back in when its time is over, and returns when to look
// again: zero when something else (a check, a probe) will decide. An endpoint with
// an active check must pass it first. One without a check that could not be
// connected to is probed first, so that not a client's request is the test. r.mu is held.
func (r *Registry) endEjection(e *Endpoint, now time.Time) time.Time {
	x := &e.ejection
	switch {
	case x.until.After(now):
		return x.until
	case e.down.Load():
		// The active check has its own way back and ends the ejection with it.
	case e.health.Type != "":
		if e.check.passes > 0 {
			r.readmit(e, now, "time is over, check passes")
		}
	case x.failedToConnect():
		if !x.probing {
			x.probing = true
			r.startProbe(e)
		}
	default:
		r.readmit(e, now, "time is over")
	}
	return time.Time{}
}
