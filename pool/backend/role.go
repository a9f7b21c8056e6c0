package backend

import (
	"log/slog"
	"slices"
	"time"
)

// Role is what a database server is to the others that hold the same data.
type Role uint8

// The roles. A server that was not asked, or did not say, has none.
const (
	RoleUnknown Role = iota
	RolePrimary      // takes writes
	RoleReplica      // follows a primary
)

// The wishes of a pool, as in the configuration.
const (
	wantPrimary = "primary"
	wantReplica = "replica"
)

// String gives the word that the configuration and the admin API use; "" for none.
func (r Role) String() string {
	switch r {
	case RolePrimary:
		return wantPrimary
	case RoleReplica:
		return wantReplica
	case RoleUnknown:
	}
	return ""
}

// lagUnknown is the lag of a replica that cannot say.
const lagUnknown = time.Duration(-1)

// finding is what a check that passed has learned beside that.
type finding struct {
	role Role
	lag  time.Duration // of a replica; lagUnknown
}

// foundOut keeps what a check learned about e, and makes new tables where a group
// cares: at once, as the server itself says it, and not a failure that may pass.
// Registry.mu is held.
func (r *Registry) foundOut(e *Endpoint, f finding, now time.Time) {
	before := e.found
	fitted := make([]bool, len(e.members))
	for i, m := range e.members {
		fitted[i] = m.fits()
	}
	e.found = f
	for i, m := range e.members {
		if m.fits() != fitted[i] {
			m.group.rebuild(now)
		}
		m.loseRole(before.role, now)
		if before.role != f.role && before.role != RoleUnknown {
			r.events.add(slog.LevelInfo, "backend role changed", "pool", m.group.name, "backend", m.name,
				"before", before.role.String(), "now", f.role.String())
		}
	}
}

// fits reports whether the endpoint is what the group wants: its role and, for a
// replica, how far behind it is. Registry.mu is held.
func (m *Member) fits() bool { return m.misfit() == "" }

// misfit says in words why the endpoint is not what the group wants; "" where it is.
// Registry.mu is held.
func (m *Member) misfit() string {
	want, f := &m.group.pool.Health, m.endpoint.found
	switch {
	case m.group.wantsRole() && f.role == RoleUnknown:
		return "its role is not known, the pool wants " + want.Role
	case m.group.wantsRole() && f.role.String() != want.Role:
		return "it is a " + f.role.String() + ", the pool wants " + want.Role
	case want.MaxLag <= 0 || f.role != RoleReplica:
		return ""
	case f.lag == lagUnknown:
		return "how far it is behind is not known"
	case f.lag > want.MaxLag:
		return "it is " + f.lag.String() + " behind, max_lag is " + want.MaxLag.String()
	}
	return ""
}

func (g *Group) wantsRole() bool {
	return g.pool.Health.Role == wantPrimary || g.pool.Health.Role == wantReplica
}

// seek makes the checks of the group's members hurry when none of them fits any
// more: one of them may have taken over. Registry.mu is held.
func (g *Group) seek(usable bool) {
	was := g.seeking
	g.seeking = !usable && g.wantsRole()
	if !g.seeking || was {
		return
	}
	for _, m := range g.members {
		m.endpoint.hurryUp()
	}
}

// sought reports whether a group looks for a role that e may have next.
func (r *Registry) sought(e *Endpoint) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(e.members, func(m *Member) bool { return m.group.seeking })
}

// hurryUp makes the check of e look again at when it is due.
func (e *Endpoint) hurryUp() {
	select {
	case e.hurry <- struct{}{}:
	default:
	}
}
