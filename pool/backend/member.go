package backend

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// Member is an endpoint in a group: the group's share of it. Pick hands out
// members; a reload keeps a member as long as its group has its endpoint. All
// methods may be called from any goroutine.
type Member struct {
	// What Pick and Done write comes first, away from what everyone reads.
	inFlight atomic.Int32
	maxConns atomic.Int32 // 0: no limit
	picks    atomic.Uint64
	sessions atomic.Uint64 // of L4 that ended, as the two below
	received atomic.Uint64
	sent     atomic.Uint64
	_        [24]byte
	latency  latency
	rate     rate // of sessions and exchanges, where the group asks for it
	adapted  adapted

	id       uint32
	group    *Group
	endpoint *Endpoint
	name     string
	rotating atomic.Bool // in the present table
	pin      atomic.Pointer[string]
	dual     atomic.Bool // as Dual says

	// The rest is guarded by Registry.mu.
	entry       entry
	gone        bool // no longer in its group
	drain       bool
	maintenance *bool // set by the admin; nil: as configured
	override    int   // weight set by the admin; < 0: as configured
	ramp        time.Time
	pinnedBy    signer // made pin
	effective   uint32 // weight in the present table, in units of 1/rampScale
}

// entry is what the configuration says about a member.
type entry struct {
	weight      int
	maxConns    int
	backup      bool
	maintenance bool
	zone        string
}

// Endpoint is the address behind the member. It never changes.
func (m *Member) Endpoint() *Endpoint { return m.endpoint }

// Group is the group the member belongs to.
func (m *Member) Group() *Group { return m.group }

// Name is the member's address, "host:port" after resolution or "unix:/path". It
// is unique in the group and the label of the member in metrics.
func (m *Member) Name() string { return m.name }

// InFlight says how many slots are reserved.
func (m *Member) InFlight() int { return int(m.inFlight.Load()) }

// InRotation reports whether the group gives work to the member at present.
func (m *Member) InRotation() bool { return m.rotating.Load() }

// Done gives back the slot that Pick reserved. It must be called exactly once
// for each Pick, also when the member has left the group since.
func (m *Member) Done() {
	if m.group.queue.length.Load() > 0 && m.group.passOn(m) {
		return
	}
	if m.inFlight.Add(-1) < 0 {
		panic("BUG: Done of " + m.name + " without a Pick")
	}
	m.group.serveQueue()
}

// Count notes what an L4 session that ends on the member has relayed from its client
// (received) and to it (sent), in bytes.
func (m *Member) Count(received, sent uint64) {
	m.sessions.Add(1)
	m.received.Add(received)
	m.sent.Add(sent)
}

// reserve takes a slot unless max_conns of them are taken. Two callers can never
// both get the last one.
func (m *Member) reserve() bool {
	limit := m.bound()
	if limit == 0 {
		m.inFlight.Add(1)
		return true
	}
	for {
		n := m.inFlight.Load()
		if n >= limit {
			return false
		}
		if m.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (m *Member) full() bool {
	limit := m.bound()
	return limit != 0 && m.inFlight.Load() >= limit
}

// SetDrain takes the member out of rotation (true) or back (false). What is in
// flight goes on. The setting outlives reloads until the server leaves the pool.
func (m *Member) SetDrain(on bool) {
	m.change("drain", on, func() { m.drain = on })
}

// SetMaintenance overrides the configured maintenance of the member. Unlike
// drain it also drops idle connections to the endpoint. The override outlives
// reloads until the configured value itself changes.
func (m *Member) SetMaintenance(on bool) {
	m.change("maintenance", on, func() { m.maintenance = &on })
	if on {
		m.group.r.dropped(m.endpoint)
	}
}

// SetWeight overrides the configured weight: 0 takes no new work, a negative
// weight goes back to the configured one, and more than MaxWeight counts as
// MaxWeight. The override outlives reloads until the configured value itself changes.
func (m *Member) SetWeight(weight int) {
	weight = min(max(weight, -1), MaxWeight)
	m.change("weight", weight, func() { m.override = weight })
}

// change applies a setting of the admin and rebuilds the group's table.
func (m *Member) change(what string, value any, apply func()) {
	r := m.group.r
	r.mu.Lock()
	defer r.mu.Unlock()
	apply()
	if !m.gone {
		m.group.rebuild(time.Now())
	}
	r.events.add(slog.LevelInfo, "backend setting changed", "pool", m.group.name, "backend", m.name, what, value)
}

// weight is the weight in force, before slow start. Registry.mu is held.
func (m *Member) weight() int {
	if m.override >= 0 {
		return m.override
	}
	return m.entry.weight
}

// inMaintenance reports the maintenance in force. Registry.mu is held.
func (m *Member) inMaintenance() bool {
	if m.maintenance != nil {
		return *m.maintenance
	}
	return m.entry.maintenance
}

// inService reports whether the administrator lets the member take work.
// Registry.mu is held.
func (m *Member) inService() bool {
	return !m.drain && !m.inMaintenance() && m.weight() > 0
}

// configure takes over what the configuration says now. An override by the admin
// ends where the configured value itself changed: the newer wish wins.
// Registry.mu is held.
func (m *Member) configure(e entry) {
	if e.weight != m.entry.weight {
		m.override = -1
	}
	if e.maintenance != m.entry.maintenance {
		m.maintenance = nil
	}
	m.entry = e
	m.maxConns.Store(int32(e.maxConns))
}

// key names the member by its address alone, for hashing.
func (m *Member) key() string {
	k := &m.endpoint.key
	return k.name + " " + k.network + " " + k.address
}
