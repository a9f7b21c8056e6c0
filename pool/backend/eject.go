package backend

import (
	"log/slog"
	"time"

	"weir/pool/metric"
)

// maxTimeouts is how many connect timeouts in a row eject an endpoint.
const maxTimeouts = 2

// Report tells what became of a member that Pick returned. Any number of reports
// may follow one Pick, before or after its Done. Reporting a success takes no
// lock; a failure takes one only where it changes the endpoint's state, and then
// the change is in force when Report returns.
func (m *Member) Report(o Outcome) {
	e := m.endpoint
	switch o {
	case Connected:
		clear32(&e.timeouts)
		clear32(&e.outraced)
	case Success:
		m.succeeded()
		clear32(&e.timeouts)
		clear32(&e.outraced)
		clear32(&e.failures)
		clear32(&e.gateway)
		if e.probation.Load() {
			e.probation.Store(false)
		}
	case Refused, Unreachable:
		m.failed(o, 1, 1)
	case ConnectTimeout:
		m.failed(o, e.timeouts.Add(1), maxTimeouts)
	case Outraced:
		m.failed(o, e.outraced.Add(1), maxOutraced)
	case Reset, Timeout, ServerError, GatewayError:
		m.failedAtWork(o)
	case LocalError:
		// Weir's own trouble says nothing about the member.
	}
}

// failedAtWork is for a member that was connected to and then did not do its work.
func (m *Member) failedAtWork(o Outcome) {
	e, c := m.endpoint, m.group.Conf()
	if m.group.Timed() {
		m.latency.worsen(time.Now().UnixNano())
		m.adapted.failed(&c.Concurrency)
	}
	if o != GatewayError {
		clear32(&e.gateway)
	} else if row := e.gateway.Add(1); c.Ejection.GatewayFailures > 0 {
		m.failed(o, row, c.Ejection.GatewayFailures)
	}
	m.failed(o, e.failures.Add(1), c.Ejection.Failures)
	m.failedOften(o)
}

// failed ejects the endpoint when it has failed as many times in a row as its group
// allows; once is enough as long as nothing has gone well since the last ejection.
func (m *Member) failed(o Outcome, times uint32, limit int) {
	e := m.endpoint
	if e.probation.Load() {
		limit = 1
	}
	if int(times) >= limit && e.Usable() && m.group.Conf().Ejection.Enabled {
		m.group.r.eject(m, o)
	}
}

// succeeded counts for the part of failures, where that is looked at.
func (m *Member) succeeded() {
	if c := &m.group.Conf().Ejection; c.FailurePercent > 0 {
		r := &m.rate
		r.turn(time.Now(), c.Window)
		r.good.Add(1)
	}
}

// failedOften ejects the endpoint when too many of its sessions and exchanges fail,
// though some go well in between.
func (m *Member) failedOften(o Outcome) {
	e, c := m.endpoint, &m.group.Conf().Ejection
	if c.FailurePercent == 0 {
		return
	}
	m.rate.turn(time.Now(), c.Window)
	m.rate.bad.Add(1)
	if c.Enabled && e.Usable() && m.rate.exceeds(c.FailurePercent, c.MinRequests) {
		m.group.r.eject(m, o)
	}
}

// forgetRates begins all counting of parts anew. Each group counts for itself, in windows
// of its own length. Registry.mu is held.
func (e *Endpoint) forgetRates() {
	for _, m := range e.members {
		m.rate.reset()
	}
}

// clear32 sets v to zero without touching its cache line where it is zero already.
func clear32(v interface {
	Load() uint32
	Store(uint32)
},
) {
	if v.Load() != 0 {
		v.Store(0)
	}
}

// eject takes the endpoint of m out for a time that doubles with each ejection,
// unless its group does not want that.
func (r *Registry) eject(m *Member, cause Outcome) {
	if r.markEjected(m, cause) {
		r.dropped(m.endpoint)
	}
}

func (r *Registry) markEjected(m *Member, cause Outcome) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := m.endpoint
	c := &m.group.pool.Ejection
	if r.closed || m.gone || !c.Enabled || !e.Usable() {
		return false
	}
	now := time.Now()
	x := &e.ejection
	if x.level > 0 && now.Sub(x.ended) >= c.MaxTime {
		x.level = 0 // it has been calm long enough
	}
	length := ejectionTime(c.Time, c.MaxTime, x.level)
	x.since, x.until, x.cause = now, now.Add(length), cause
	x.level++
	x.retry, x.probing = c.Time, false
	e.check.passes = 0 // those before do not speak for it any more
	e.failures.Store(0)
	e.gateway.Store(0)
	e.timeouts.Store(0)
	e.outraced.Store(0)
	e.forgetRates()
	e.ejected.Store(true)
	r.rebuildAround(e, now)
	r.wakeKeeper()
	e.hurryUp()
	for _, o := range e.members {
		r.metrics.Counter(metric.BackendEjections, o.group.name, o.name, cause.String()).Inc()
		r.stateChanged(o, StateEjected)
	}
	r.events.add(slog.LevelWarn, "backend ejected", "pool", m.group.name, "backend", m.name, "reason", cause.String(),
		"for", length, "in_a_row", x.level)
	return true
}

// ejectionTime doubles first level times, up to longest.
func ejectionTime(first, longest time.Duration, level int) time.Duration {
	d := first
	for range level {
		if d >= longest {
			break
		}
		d *= 2
	}
	return max(min(d, longest), time.Millisecond)
}

// readmit ends the ejection of e. r.mu is held.
func (r *Registry) readmit(e *Endpoint, now time.Time, why string) {
	e.ejection.ended = now
	e.ejection.probing = false
	e.failures.Store(0)
	e.gateway.Store(0)
	e.timeouts.Store(0)
	e.outraced.Store(0)
	e.forgetRates()
	e.probation.Store(true)
	e.ejected.Store(false)
	r.rebuildAround(e, now)
	for _, m := range e.members {
		r.stateChanged(m, StateHealthy)
	}
	r.events.add(slog.LevelInfo, "backend back from ejection", "backend", e.String(), "reason", why)
}

func (r *Registry) stateChanged(m *Member, s State) {
	r.metrics.Counter(metric.BackendStateChanges, m.group.name, m.name, s.String()).Inc()
}

// failedToConnect reports whether an ejection was for a connection that never came
// about, so that one that does is proof enough that the endpoint is back.
func (x *ejectState) failedToConnect() bool {
	return x.cause == Refused || x.cause == ConnectTimeout
}
