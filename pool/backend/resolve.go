package backend

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"weir/conf"
	"weir/pool/metric"
)

// A lookup that fails is tried again after retryFirst, then after twice that, up
// to retryLast; the last good answer stays in use however long it takes.
const (
	retryFirst = time.Second
	retryLast  = 30 * time.Second
)

// dnsName is a name that servers of the configuration are known by, and the
// addresses it stands for. One goroutine of the registry follows it.
type dnsName struct {
	host string
	poke chan struct{} // look again now
	stop context.CancelFunc

	// The rest is guarded by Registry.mu.
	addrs    []netip.Addr // the last good set, sorted; empty before the first
	err      error        // of the last lookup
	at       time.Time    // of the last lookup
	failures int          // lookups in a row that failed
}

// setDNS brings the names that are followed in line with s. r.mu is held.
func (r *Registry) setDNS(s *Snapshot) {
	changed := !sameDNS(r.dns, s.dns)
	if changed {
		r.dns = s.dns
		r.resolver.Store(newResolver(s.dns))
	}
	wanted := map[string]bool{}
	for i := range s.pools {
		for _, host := range poolNames(&s.pools[i]) {
			wanted[host] = true
		}
	}
	for host, n := range r.names {
		switch {
		case !wanted[host]:
			n.stop()
			delete(r.names, host)
		case changed:
			select {
			case n.poke <- struct{}{}:
			default:
			}
		}
	}
	for host := range wanted {
		if r.names[host] == nil {
			r.startName(host, s.answers[host])
		}
	}
}

func sameDNS(a, b conf.DNS) bool {
	return slices.Equal(a.Servers, b.Servers) && a.Timeout == b.Timeout && a.MinTTL == b.MinTTL && a.MaxTTL == b.MaxTTL
}

// startName begins to follow host with the answer that Prepare got. r.mu is held.
func (r *Registry) startName(host string, first prepared) {
	ctx, cancel := context.WithCancel(r.ctx)
	n := &dnsName{host: host, poke: make(chan struct{}, 1), stop: cancel}
	r.names[host] = n
	var wait time.Duration // a name that was never looked up is at once
	if !first.at.IsZero() {
		wait = r.learn(n, first)
	}
	if r.closed {
		cancel()
		return
	}
	r.wg.Go(func() { r.follow(ctx, n, wait) })
}

// follow looks n up again whenever its time to live is over, until ctx ends.
func (r *Registry) follow(ctx context.Context, n *dnsName, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-n.poke:
		}
		p := prepared{err: errPanicked}
		r.guard("lookup of "+n.host, func() { p.answer, p.err = r.resolver.Load().lookup(ctx, n.host) })
		p.at = time.Now()
		if ctx.Err() != nil {
			return // stopped in between, so the error says nothing
		}
		r.countLookup(p.err)
		wait := retryFirst
		r.guard("answer for "+n.host, func() { wait = r.resolved(n, p) })
		timer.Reset(wait)
	}
}

// resolved takes in an answer, changes the members of the groups that use the
// name, and returns when to look again.
func (r *Registry) resolved(n *dnsName, p prepared) time.Duration {
	gone, wait := r.applyAnswer(n, p)
	r.dropped(gone...)
	return wait
}

func (r *Registry) applyAnswer(n *dnsName, p prepared) ([]*Endpoint, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := n.addrs
	wait := r.learn(n, p)
	if r.names[n.host] != n || slices.Equal(before, n.addrs) {
		return nil, wait
	}
	r.events.add(slog.LevelInfo, "addresses of a name changed", "name", n.host, "before", before, "now", n.addrs)
	var gone []*Endpoint
	for _, g := range r.order {
		if slices.Contains(poolNames(g.pool), n.host) {
			gone = append(gone, g.setMembers(time.Now())...)
		}
	}
	return r.stillGone(gone), wait
}

// learn keeps what p says about n and returns when to look again. r.mu is held.
func (r *Registry) learn(n *dnsName, p prepared) time.Duration {
	if p.err != nil {
		if n.err == nil || n.err.Error() != p.err.Error() {
			r.events.add(slog.LevelWarn, "cannot resolve a name, last good addresses stay",
				"name", n.host, "error", p.err, "addresses", n.addrs)
		}
		n.err, n.at = p.err, p.at
		n.failures++
		return jitter(ejectionTime(retryFirst, retryLast, n.failures-1))
	}
	addrs := slices.Clone(p.answer.addrs)
	for _, old := range n.addrs {
		// One of the two questions failed: its last good answer stands.
		if p.answer.lost(old) && !slices.Contains(addrs, old) {
			addrs = append(addrs, old)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	n.addrs, n.err, n.at, n.failures = addrs, nil, p.at, 0
	return p.answer.ttl
}

// countLookup counts a lookup by its result.
func (r *Registry) countLookup(err error) {
	result := "ok"
	switch {
	case err == nil:
	case errors.Is(err, errNoAddress):
		result = "empty"
	case errors.Is(err, errDNSTimeout):
		result = "timeout"
	default:
		result = "failed"
	}
	r.metrics.Counter(metric.BackendDNSLookups, result).Inc()
}
