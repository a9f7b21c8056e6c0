package backend

import (
	"math"
	"net/netip"
	"time"

	"weir/conf"
	"weir/pool/metric"
)

// setMembers brings the members in line with the configuration and the present
// DNS answers, publishes a new table, and returns the endpoints that no group has
// any more. Registry.mu is held.
func (g *Group) setMembers(now time.Time) []*Endpoint {
	old := make(map[string]*Member, len(g.members))
	for _, m := range g.members {
		old[m.name] = m
	}
	before := g.members
	g.members = nil
	taken := make(map[string]bool, len(before))
	var fresh []*Member
	for i := range g.pool.Servers {
		s := &g.pool.Servers[i]
		for _, p := range g.r.places(s.Addr) {
			// One address is one member, though two entries lead to it: the first counts.
			if taken[p.label()] {
				continue
			}
			taken[p.label()] = true
			m, isNew := g.member(p, s, old[p.label()])
			g.members = append(g.members, m)
			if isNew {
				fresh = append(fresh, m)
			} else {
				delete(old, m.name)
			}
		}
	}
	var gone []*Endpoint
	for _, m := range before {
		if old[m.name] == m {
			gone = g.remove(m, gone)
			if !taken[m.name] { // else only its check settings changed
				g.r.lose(m, LossRemoved, now)
			}
		}
	}
	// Only now, as a member that is new may show its metrics under the name of one that left.
	for _, m := range fresh {
		g.show(m)
	}
	for _, m := range g.members {
		m.adapted.within(&g.pool.Concurrency)
	}
	g.breaker.within(&g.pool.Breaker)
	g.rebuild(now)
	return gone
}

// places lists the addresses that a stands for at present. r.mu is held.
func (r *Registry) places(a conf.Addr) []place {
	if a.Network == "unix" {
		return []place{unixPlace(a)}
	}
	host, ok := dnsHost(a)
	if !ok {
		return []place{tcpPlace(a, netip.MustParseAddr(a.Host), "")}
	}
	name := r.names[host]
	places := make([]place, 0, len(name.addrs))
	for _, ip := range name.addrs {
		places = append(places, tcpPlace(a, ip, host))
	}
	return places
}

// member keeps before, the member at p so far, or makes one. A new member for an
// address that the group had with other check settings takes over what the
// administrator set.
func (g *Group) member(p place, s *conf.Server, before *Member) (m *Member, isNew bool) {
	e := g.r.endpoint(p, g.pool, g.TLS())
	if before != nil && before.endpoint == e {
		before.configure(newEntry(s))
		return before, false
	}
	m = &Member{
		id: uint32(g.r.nextID()), group: g, endpoint: e, name: p.label(), override: -1, entry: newEntry(s),
	}
	if before != nil {
		m.entry = before.entry
		if e.found.role == RoleUnknown {
			// New check settings must not take a server out until their first result.
			e.found = before.endpoint.found
		}
		m.drain, m.maintenance, m.override = before.drain, before.maintenance, before.override
	}
	m.configure(newEntry(s))
	e.members = append(e.members, m)
	return m, true
}

func newEntry(s *conf.Server) entry {
	return entry{
		weight: s.Weight, maxConns: min(s.MaxConns, math.MaxInt32), backup: s.Backup, maintenance: s.Maintenance,
		zone: s.Zone,
	}
}

// remove takes m out of its group and adds its endpoint to gone where it was the
// last of it.
func (g *Group) remove(m *Member, gone []*Endpoint) []*Endpoint {
	m.gone = true
	m.rotating.Store(false)
	g.hide(m)
	if g.r.release(m) {
		gone = append(gone, m.endpoint)
	}
	return gone
}

// show registers the metrics of m.
func (g *Group) show(m *Member) {
	r := g.r.metrics
	r.CounterFunc(metric.BackendPicks, m.picks.Load, g.name, m.name)
	r.CounterFunc(metric.BackendSessions, m.sessions.Load, g.name, m.name)
	r.CounterFunc(metric.BackendReceivedBytes, m.received.Load, g.name, m.name)
	r.CounterFunc(metric.BackendSentBytes, m.sent.Load, g.name, m.name)
	r.GaugeFunc(metric.BackendLimit, func() float64 { return float64(m.bound()) }, g.name, m.name)
	r.GaugeFunc(metric.BackendLatency, func() float64 { return m.Latency().Seconds() }, g.name, m.name)
	r.GaugeFunc(metric.BackendInFlight, func() float64 { return float64(m.inFlight.Load()) }, g.name, m.name)
	r.GaugeFunc(metric.BackendUp, func() float64 {
		if m.rotating.Load() {
			return 1
		}
		return 0
	}, g.name, m.name)
}

// hide drops the metrics of m, also those that appear at first use.
func (g *Group) hide(m *Member) {
	r := g.r.metrics
	for _, d := range []*metric.Def{
		metric.BackendPicks, metric.BackendInFlight, metric.BackendUp, metric.BackendLatency,
		metric.BackendLimit,
		metric.BackendSessions, metric.BackendReceivedBytes, metric.BackendSentBytes,
	} {
		r.Unregister(d, g.name, m.name)
	}
	for _, state := range []State{StateHealthy, StateEjected, StateDown} {
		r.Unregister(metric.BackendStateChanges, g.name, m.name, state.String())
	}
	for _, cause := range []Outcome{
		Refused, ConnectTimeout, Reset, Timeout, ServerError, GatewayError, Unreachable, Outraced,
	} {
		r.Unregister(metric.BackendEjections, g.name, m.name, cause.String())
	}
	for _, result := range []string{checkOK, checkFailed, checkLocal} {
		r.Unregister(metric.BackendChecks, g.name, m.name, result)
	}
}
