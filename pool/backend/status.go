package backend

import (
	"slices"
	"time"
)

// GroupStatus is a group as the admin API shows it.
type GroupStatus struct {
	Pool    string         `json:"pool"`
	Balance string         `json:"balance"`
	Usable  int            `json:"usable"` // members that take work at present
	Members []MemberStatus `json:"members"`
	Names   []NameStatus   `json:"names,omitempty"`
	Breaker *BreakerStatus `json:"breaker,omitempty"` // nil: the pool has none
}

// MemberStatus is a member as the admin API shows it. Reason says in words why it
// is not healthy or takes no work. Effective weight is what slow start leaves of
// the weight, 0 out of rotation.
type MemberStatus struct {
	Server          string  `json:"server"`  // as configured
	Address         string  `json:"address"` // as resolved; Group.Member finds it by this
	State           string  `json:"state"`
	Role            string  `json:"role,omitempty"` // primary or replica, where the check can tell
	Reason          string  `json:"reason,omitempty"`
	InRotation      bool    `json:"in_rotation"`
	Weight          int     `json:"weight"`
	EffectiveWeight float64 `json:"effective_weight"`
	Zone            string  `json:"zone,omitempty"`
	Backup          bool    `json:"backup"`
	Drain           bool    `json:"drain"`
	Maintenance     bool    `json:"maintenance"`
	InFlight        int     `json:"in_flight"`
	MaxConns        int     `json:"max_conns"`
	Limit           int     `json:"limit,omitempty"` // that an adaptive limit has found
	Picks           uint64  `json:"picks"`

	Latency time.Duration `json:"latency_ns,omitempty"` // lately, where the balancer looks at it

	ConsecutiveFailures int          `json:"consecutive_failures"` // resets, timeouts, 5xx
	ConnectTimeouts     int          `json:"connect_timeouts"`     // in a row
	EjectedUntil        *time.Time   `json:"ejected_until,omitempty"`
	Ejections           int          `json:"ejections"` // without a calm period between them
	LastCheck           *CheckStatus `json:"last_check,omitempty"`

	ReplayLag *time.Duration `json:"replay_lag_ns,omitempty"` // of a replica that can tell
}

// CheckStatus is the last active check of an endpoint.
type CheckStatus struct {
	Time     time.Time     `json:"time"`
	Result   string        `json:"result"` // ok, failed
	Error    string        `json:"error,omitempty"`
	Duration time.Duration `json:"duration_ns"`
	Passes   int           `json:"passes"` // in a row
	Fails    int           `json:"fails"`  // in a row
}

// NameStatus is a DNS name that servers of a group are known by.
type NameStatus struct {
	Name      string    `json:"name"`
	Addresses []string  `json:"addresses"`
	Looked    time.Time `json:"last_lookup"`
	Error     string    `json:"error,omitempty"` // of the last lookup
}

// Status describes all committed groups in the order of the configuration.
func (r *Registry) Status() []GroupStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	status := make([]GroupStatus, 0, len(r.order))
	for _, g := range r.order {
		status = append(status, g.status())
	}
	return status
}

// Status describes the group.
func (g *Group) Status() GroupStatus {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	return g.status()
}

// status is Status with Registry.mu held.
func (g *Group) status() GroupStatus {
	s := GroupStatus{
		Pool: g.name, Balance: g.pool.Balance, Usable: g.Usable(), Members: make([]MemberStatus, 0, len(g.members)),
		Breaker: g.breakerStatus(),
	}
	for _, m := range g.members {
		s.Members = append(s.Members, m.status())
	}
	var hosts []string
	for _, host := range poolNames(g.pool) {
		if n := g.r.names[host]; n != nil && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
			s.Names = append(s.Names, n.status())
		}
	}
	return s
}

func (n *dnsName) status() NameStatus {
	s := NameStatus{Name: n.host, Looked: n.at, Addresses: make([]string, 0, len(n.addrs))}
	for _, a := range n.addrs {
		s.Addresses = append(s.Addresses, a.String())
	}
	if n.err != nil {
		s.Error = n.err.Error()
	}
	return s
}

func (m *Member) status() MemberStatus {
	e := m.endpoint
	s := MemberStatus{
		Server: e.server, Address: m.name, State: e.State().String(), Role: e.found.role.String(), Reason: m.reason(),
		InRotation: m.rotating.Load(), Weight: m.weight(), EffectiveWeight: float64(m.effective) / rampScale,
		Zone: m.entry.zone, Backup: m.entry.backup, Drain: m.drain, Maintenance: m.inMaintenance(),
		InFlight: m.InFlight(), MaxConns: m.entry.maxConns, Picks: m.picks.Load(),
		Limit: int(m.adapted.limit.Load()), Latency: m.Latency(),
		ConsecutiveFailures: int(e.failures.Load()), ConnectTimeouts: int(e.timeouts.Load()),
		Ejections: e.ejection.level,
	}
	if lag := e.found.lag; e.found.role == RoleReplica && lag != lagUnknown {
		s.ReplayLag = &lag
	}
	if e.ejected.Load() {
		until := e.ejection.until
		s.EjectedUntil = &until
	}
	if c := &e.check; c.decided {
		s.LastCheck = &CheckStatus{Time: c.at, Result: checkOK, Duration: c.duration, Passes: c.passes, Fails: c.fails}
		if c.err != nil {
			s.LastCheck.Result, s.LastCheck.Error = checkFailed, c.err.Error()
		}
	}
	return s
}

// reason says in words what keeps m out, or what is held against it.
func (m *Member) reason() string {
	e := m.endpoint
	switch {
	case m.inMaintenance():
		return "in maintenance"
	case m.drain:
		return "drained"
	case m.weight() == 0:
		return "weight 0"
	case e.down.Load() && e.check.err != nil:
		return "check failed: " + e.check.err.Error()
	case e.down.Load():
		return "check passes again, but not often enough yet"
	case m.misfit() != "":
		return m.misfit()
	case e.ejected.Load() && m.rotating.Load():
		return "ejected (" + e.ejection.cause.String() + "), but kept in use: too much of the group is out"
	case e.ejected.Load():
		return "ejected: " + e.ejection.cause.String()
	case e.probation.Load():
		return "back from an ejection, nothing has gone well since"
	case e.State() == StateDegraded:
		return "recent failures"
	}
	return ""
}
