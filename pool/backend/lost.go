package backend

import (
	"log/slog"
	"time"

	"weir/conf"
)

// Loss is why a pool lost a server, and so may not want its sessions to go on.
type Loss uint8

// The losses. An ejection is none: it is a guess that live traffic made, and ends soon.
const (
	LossDown    Loss = iota // its active check took it out
	LossRemoved             // it left the configuration, or its name's addresses
	LossRole                // it no longer has the role that the pool wants
)

// String gives the word that logs and metrics use.
func (l Loss) String() string {
	switch l {
	case LossDown:
		return "down"
	case LossRemoved:
		return "removed"
	case LossRole:
		return "role_lost"
	}
	return "unknown"
}

// What a pool wants of the sessions of a server that it lost, as in the
// configuration. An empty word means keep.
const (
	sessionsDrain = "drain"
	sessionsClose = "close"
)

// Lost names a server whose sessions are to be closed: those of one pool. It is by
// name, as the member may be another by now.
type Lost struct {
	Pool    string
	Backend string // Member.Name
	Why     Loss
}

// drainKey is a member by name.
type drainKey struct{ pool, backend string }

// drain is a loss whose sessions have time until then.
type drain struct {
	until time.Time
	why   Loss
}

// losses collects what is to be told once Registry.mu is free.
type losses struct {
	drains  map[drainKey]drain
	pending []Lost
}

// lose does with the sessions of m what its pool wants. Registry.mu is held; the
// caller calls dropped after it.
func (r *Registry) lose(m *Member, why Loss, now time.Time) {
	g := m.group
	want := wantOf(&g.pool.Sessions, why)
	if want != sessionsDrain && want != sessionsClose {
		return
	}
	if m.InFlight() > 0 {
		r.events.add(slog.LevelInfo, "sessions of a lost backend end", "pool", g.name, "backend", m.name,
			"reason", why.String(), "in_flight", m.InFlight(), "how", want)
	}
	if want == sessionsClose {
		r.losses.pending = append(r.losses.pending, Lost{g.name, m.name, why})
		return
	}
	if r.losses.drains == nil {
		r.losses.drains = make(map[drainKey]drain)
	}
	r.losses.drains[drainKey{g.name, m.name}] = drain{now.Add(g.pool.Sessions.DrainTimeout), why}
	r.wakeKeeper()
}

func wantOf(s *conf.Sessions, why Loss) string {
	switch why {
	case LossDown:
		return s.OnDown
	case LossRemoved:
		return s.OnRemoved
	case LossRole:
		return s.OnRoleLost
	}
	return ""
}

// loseRole is called for a member whose endpoint has another role than before.
// Registry.mu is held.
func (m *Member) loseRole(before Role, now time.Time) {
	role := m.endpoint.found.role
	if m.group.wantsRole() && role != RoleUnknown && role != before && role.String() != m.group.pool.Health.Role {
		m.group.r.lose(m, LossRole, now)
	}
}

// endDrains finds the drains whose time is over. Those of servers that came back
// are forgotten: their sessions may go on. It returns the time of the next one, next
// where that is earlier. r.mu is held.
func (r *Registry) endDrains(now, next time.Time) time.Time {
	for key, d := range r.losses.drains {
		if d.until.After(now) {
			if d.until.Before(next) {
				next = d.until
			}
			continue
		}
		delete(r.losses.drains, key)
		if r.isLost(key) {
			r.losses.pending = append(r.losses.pending, Lost{key.pool, key.backend, d.why})
		}
	}
	return next
}

// isLost reports whether a member is still gone, down or in another role. r.mu is held.
func (r *Registry) isLost(key drainKey) bool {
	g := r.groups[key.pool]
	if g == nil {
		return true
	}
	for _, m := range g.members {
		if m.name == key.backend {
			role := m.endpoint.found.role
			return m.endpoint.down.Load() ||
				g.wantsRole() && role != RoleUnknown && role.String() != g.pool.Health.Role
		}
	}
	return true
}

// tellLost tells the owner of sessions what was lost. No lock is held.
func (r *Registry) tellLost() {
	r.mu.Lock()
	pending := r.losses.pending
	r.losses.pending = nil
	r.mu.Unlock()
	for _, l := range pending {
		r.onLost(l)
	}
}
