package backend

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"weir/pool/metric"
)

// The types of active checks, as in the configuration.
const (
	checkTCP      = "tcp"
	checkTLSType  = "tls"
	checkHTTP     = "http"
	checkPostgres = "postgres"
	checkMySQL    = "mysql"
	checkRedis    = "redis"
	checkSMTP     = "smtp"
	checkExpect   = "expect"
)

// The results of a check in metrics.
const (
	checkOK     = "ok"
	checkFailed = "failed"
	checkLocal  = "local" // Weir could not ask
)

// firstCheckSpread is the time over which the first checks of many endpoints that
// came with one configuration are spread.
const firstCheckSpread = 50 * time.Millisecond

// minInterval keeps a check without an interval from spinning.
const minInterval = 10 * time.Millisecond

// probeTimeout is how long a probe may take.
const probeTimeout = time.Second

// prober does the I/O of checks; tests put a simulation in its place.
type prober interface {
	// check runs the active check of e once and returns what it learned, or why it failed.
	check(ctx context.Context, e *Endpoint) (finding, error)
	// probe connects to e, no more.
	probe(ctx context.Context, e *Endpoint) error
}

// netProber asks the endpoints themselves.
type netProber struct{}

func (netProber) check(ctx context.Context, e *Endpoint) (finding, error) {
	network, address := checkAddr(e)
	ctx = withSocket(withProxy(ctx, e.key.proxy), e.socket)
	h := &e.health
	if t := e.tls.Load(); t != nil {
		ctx = withTLS(ctx, t.configFor(e))
	}
	switch h.Type {
	case checkTLSType:
		return finding{}, tlsCheck(ctx, network, address, e.server, h)
	case checkHTTP:
		return finding{}, httpCheck(ctx, network, address, httpCheckHost(e), h)
	case checkPostgres:
		return postgresCheck(ctx, network, address, e.server, h)
	case checkMySQL:
		return mysqlCheck(ctx, network, address, e.server, h)
	case checkRedis:
		return redisCheck(ctx, network, address, e.server, h)
	case checkSMTP:
		return finding{}, smtpCheck(ctx, network, address)
	case checkExpect:
		if h.UDP {
			network = "udp"
		}
		return finding{}, expectCheck(ctx, network, address, h.Script)
	}
	return finding{}, tcpCheck(ctx, network, address)
}

func (netProber) probe(ctx context.Context, e *Endpoint) error {
	return tcpCheck(withSocket(ctx, e.socket), e.key.network, e.key.address)
}

// startChecks starts the active check of e if it has one. r.mu is held.
func (r *Registry) startChecks(e *Endpoint) {
	if e.health.Type == "" || r.closed {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	e.stop = cancel
	r.wg.Go(func() { r.watch(ctx, e) })
}

// watch checks e until ctx ends: at once, and then at its interval, each time a
// little early or late so that checks do not fall into step. Until the first
// result the endpoint is usable.
func (r *Registry) watch(ctx context.Context, e *Endpoint) {
	timer := time.NewTimer(rand.N(firstCheckSpread))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.hurry:
			// It waits for an interval that is too long for an endpoint that is out.
			timer.Reset(jitter(min(r.checkInterval(e), e.health.Interval)))
			continue
		case <-timer.C:
		}
		r.guard("health check of "+e.String(), func() { r.checkOnce(ctx, e) })
		timer.Reset(jitter(r.checkInterval(e)))
	}
}

// checkInterval is the time to the next check of e: shorter while it is out, or while
// a group looks for the role that e may have next.
func (r *Registry) checkInterval(e *Endpoint) time.Duration {
	d := e.health.Interval
	if e.health.DownInterval > 0 && (!e.Usable() || r.sought(e)) {
		d = e.health.DownInterval
	}
	return max(d, minInterval)
}

// jitter varies d by up to a tenth, both ways.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// checkOnce runs one check when its turn comes, and acts on the result.
func (r *Registry) checkOnce(ctx context.Context, e *Endpoint) {
	select {
	case <-ctx.Done():
		return
	case r.slots <- struct{}{}:
	}
	defer func() { <-r.slots }()
	if r.spared(e) {
		return
	}
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, cmp.Or(e.health.Timeout, probeTimeout))
	found, err := r.prober.check(limited, e)
	cancel()
	if ctx.Err() != nil {
		return // stopped in between, so err says nothing
	}
	if starved(err) {
		r.unchecked(e, err)
		return
	}
	if r.checked(e, start, time.Since(start), found, err) {
		r.dropped(e)
	} else {
		r.tellLost()
	}
}

// spared reports whether e is not to be checked, as it is in maintenance in every
// group that has it: whoever works on a server does not want to see checks there.
// One failure afterwards is enough to take it out, as at the start.
func (r *Registry) spared(e *Endpoint) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range e.members {
		if !m.inMaintenance() {
			return false
		}
	}
	e.check.decided, e.check.passes, e.check.fails = false, 0, 0
	return len(e.members) > 0
}

// unchecked takes note of a check that this machine had no port, descriptor or memory
// for. What was known of e stays: one that all checks fail by would take every server.
func (r *Registry) unchecked(e *Endpoint, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range e.members {
		r.metrics.Counter(metric.BackendChecks, m.group.name, m.name, checkLocal).Inc()
		m.group.ConnectFailed(err)
	}
}

// checked takes in the result of a check and reports whether e went down with it.
//
// The first result of all decides alone, up or down, so that a dead server is
// known after one check; after that fall failures in a row take the endpoint out
// and rise passes bring it back.
func (r *Registry) checked(e *Endpoint, start time.Time, took time.Duration, f finding, err error) (wentDown bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &e.check
	c.at, c.duration, c.err = start.Add(took), took, err
	e.badCheck.Store(err != nil)
	result := checkOK
	if err != nil {
		result = checkFailed
	}
	for _, m := range e.members {
		r.metrics.Counter(metric.BackendChecks, m.group.name, m.name, result).Inc()
	}
	first := !c.decided
	c.decided = true
	if err != nil {
		c.passes = 0
		c.fails++
		if !e.down.Load() && (first || c.fails >= e.health.Fall) {
			r.goDown(e, c.at, err)
			return true
		}
		return false
	}
	c.fails = 0
	r.foundOut(e, f, c.at)
	if e.ejected.Load() && !start.After(e.ejection.since) {
		return false // it began before the endpoint was ejected, and knows nothing of why
	}
	c.passes++
	switch {
	case e.down.Load():
		if c.passes >= e.health.Rise {
			r.comeUp(e, c.at)
		}
	case e.ejected.Load():
		r.passedWhileEjected(e, c.at)
	}
	return false
}

// passedWhileEjected lets e back in after its time; earlier when it was ejected
// because nothing answered there, which rise passes disprove. r.mu is held.
func (r *Registry) passedWhileEjected(e *Endpoint, now time.Time) {
	x := &e.ejection
	switch {
	case !now.Before(x.until):
		r.readmit(e, now, "time is over, check passes")
	case x.failedToConnect() && e.check.passes >= e.health.Rise:
		r.readmit(e, now, "check passes")
	}
}

// goDown takes e out of every group. r.mu is held.
func (r *Registry) goDown(e *Endpoint, now time.Time, err error) {
	e.down.Store(true)
	r.rebuildAround(e, now)
	for _, m := range e.members {
		r.stateChanged(m, StateDown)
		r.lose(m, LossDown, now)
		r.events.add(slog.LevelWarn, "backend down", "pool", m.group.name, "backend", m.name, "reason", err)
	}
}

// comeUp brings e back, from its ejection too: the check has seen it work since.
// r.mu is held.
func (r *Registry) comeUp(e *Endpoint, now time.Time) {
	e.down.Store(false)
	if e.ejected.Load() {
		e.ejected.Store(false)
		e.ejection.ended = now
	}
	e.failures.Store(0)
	e.timeouts.Store(0)
	e.probation.Store(false)
	r.rebuildAround(e, now)
	for _, m := range e.members {
		r.stateChanged(m, StateHealthy)
		r.events.add(slog.LevelInfo, "backend up", "pool", m.group.name, "backend", m.name, "passes", e.check.passes)
	}
}

// startProbe connects to e, once, on a goroutine of its own. r.mu is held.
func (r *Registry) startProbe(e *Endpoint) {
	if r.closed {
		return
	}
	since := e.ejection.since
	r.wg.Go(func() {
		err := errPanicked
		r.guard("probe of "+e.String(), func() { err = r.probeOnce(e) })
		r.probed(e, since, err)
	})
}

func (r *Registry) probeOnce(e *Endpoint) error {
	select {
	case <-r.ctx.Done():
		return r.ctx.Err()
	case r.slots <- struct{}{}:
	}
	defer func() { <-r.slots }()
	ctx, cancel := context.WithTimeout(r.ctx, probeTimeout)
	defer cancel()
	return r.prober.probe(ctx, e)
}

// probed acts on the result of a probe for the ejection that began at since.
func (r *Registry) probed(e *Endpoint, since time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := &e.ejection
	if !e.ejected.Load() || !x.since.Equal(since) {
		return // overtaken by events
	}
	now := time.Now()
	if err == nil {
		r.readmit(e, now, "accepts connections")
		return
	}
	x.probing = false
	x.until = now.Add(jitter(max(x.retry, minInterval)))
	r.wakeKeeper()
}

// checkAddr is where the check of e goes: the endpoint, on the check's own port if
// it has one.
func checkAddr(e *Endpoint) (network, address string) {
	network, address = e.Addr()
	if network == "tcp" && e.health.Port != 0 {
		address = withPort(address, e.health.Port)
	}
	return network, address
}

// httpCheckHost is the Host field of the check: as configured, or the server as
// the configuration calls it.
func httpCheckHost(e *Endpoint) string {
	switch {
	case e.health.Host != "":
		return e.health.Host
	case e.key.network == "unix":
		return "localhost"
	}
	return e.server
}
